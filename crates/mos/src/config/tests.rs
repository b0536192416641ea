use clap::FromArgMatches;

use super::*;
use crate::cli::{self, Cli};
use crate::server::ServerArgs;

fn server(arguments: &[&str], environment: &[(&str, &str)]) -> Result<ServerArgs, Failure> {
    let arguments = ["mos", "server"]
        .iter()
        .chain(arguments)
        .map(OsString::from)
        .collect();
    let environment = environment
        .iter()
        .map(|(k, v)| (OsString::from(k), OsString::from(v)));
    let matches = matches(cli::command(), arguments, environment)?;
    match Cli::from_arg_matches(&matches)?.command {
        cli::Command::Server(args) => Ok(args),
        _ => panic!("not the server"),
    }
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    file
}

#[test]
fn a_flag_beats_the_environment_which_beats_the_file_which_beats_the_default() {
    let file = file(
        "[server]\nlisten = \"127.0.0.1:3\"\ndata-dir = \"/file\"\ntls-san = [\"a\", \"b\"]\n",
    );
    let path = file.path().to_str().unwrap();
    let args = server(
        &["--listen", "127.0.0.1:1"],
        &[
            ("MOS_LISTEN", "127.0.0.1:2"),
            ("MOS_DATA_DIR", "/env"),
            ("MOS_CONFIG", path),
        ],
    )
    .unwrap();
    assert_eq!(args.listen.to_string(), "127.0.0.1:1");
    assert_eq!(args.data_dir.to_str(), Some("/env"));
    assert_eq!(args.tls_san, ["a", "b"]);
    assert_eq!(args.service_cluster_ip_range.to_string(), "10.96.0.0/16");

    let args = server(&["--config", path], &[]).unwrap();
    assert_eq!(args.listen.to_string(), "127.0.0.1:3");
    assert_eq!(args.data_dir.to_str(), Some("/file"));
}

#[test]
fn an_unknown_key_is_an_error_that_names_the_nearest_known_one() {
    let file = file("[server]\ndata_dirr = \"/x\"\n");
    let failure = server(&["--config", file.path().to_str().unwrap()], &[]).unwrap_err();
    assert!(
        failure.message().contains("[server] data_dirr"),
        "{failure}"
    );
    assert!(format!("{failure:?}").contains("`data-dir`"), "{failure:?}");

    let failure = server(&[], &[("MOS_DATADIR", "/x")]).unwrap_err();
    assert!(failure.message().contains("MOS_DATADIR"), "{failure}");
    assert!(
        format!("{failure:?}").contains("`MOS_DATA_DIR`"),
        "{failure:?}"
    );
}

#[test]
fn a_key_outside_its_table_is_explained() {
    let known = vec!["listen".to_owned()];
    let failure = file::parse("listen = 'x'\n", "server", &known).unwrap_err();
    assert!(
        format!("{failure:?}").contains("belongs below"),
        "{failure:?}"
    );
    let failure = file::parse("[sever]\n", "server", &known).unwrap_err();
    assert!(format!("{failure:?}").contains("`server`"), "{failure:?}");
}

#[test]
fn a_bad_value_says_where_it_stands() {
    let failure = server(&[], &[("MOS_LISTEN", "nowhere")]).unwrap_err();
    assert!(failure.message().starts_with("MOS_LISTEN: "), "{failure}");
    let file = file("[server]\nstore = \"postgres\"\n");
    let failure = server(&["--config", file.path().to_str().unwrap()], &[]).unwrap_err();
    assert!(failure.message().contains("[server] store: "), "{failure}");
    assert!(failure.message().contains("sqlite"), "{failure}");
}

#[test]
fn client_commands_do_not_look_at_the_servers_variables() {
    let arguments = ["mos", "get", "pods"].iter().map(OsString::from).collect();
    let environment = [(OsString::from("MOS_NONSENSE"), OsString::from("1"))];
    assert!(matches(cli::command(), arguments, environment).is_ok());
}

#[test]
fn an_empty_variable_is_one_that_is_not_set() {
    let args = server(&[], &[("MOS_LISTEN", "")]).unwrap();
    assert_eq!(args.listen.to_string(), crate::server::DEFAULT_LISTEN);
}

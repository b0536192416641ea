//! What to say to those who come from kubectl or docker and type a command or a flag of theirs.
//!
//! The parser knows only that a word is not ours, and proposes one that is spelled alike. Whoever types
//! `mos ps` has made no typing error: the table says what does that job here.

use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::failure::Failure;

/// Commands of other tools, and what does their job.
const COMMANDS: &[(&[&str], &str)] = &[
    (&["ps"], "did you mean `mos get pods`?"),
    (
        &["ls", "list", "show"],
        "did you mean `mos get TYPE`, such as `mos get pods`?",
    ),
    (
        &["inspect"],
        "did you mean `mos describe TYPE/NAME`, or `mos get TYPE/NAME -o yaml`?",
    ),
    (
        &["rm", "remove", "kill"],
        "did you mean `mos delete TYPE/NAME`?",
    ),
    (
        &["stop"],
        "`mos delete TYPE/NAME` removes; `mos edit deployment/NAME` with `replicas: 0` keeps the deployment without pods",
    ),
    (
        &["start", "restart"],
        "`mos server` starts the API; `kubectl rollout restart deployment/NAME` makes new pods of a deployment",
    ),
    (
        &["run", "create", "expose", "autoscale"],
        "write the object into a file and `mos apply -f FILE`; `kubectl create`, `run`, `expose` and `autoscale` make one from flags",
    ),
    (
        &["up", "down", "compose", "stack", "deploy", "service"],
        "`mos server` runs the API; what runs on it are Kubernetes manifests: `mos apply -f FILE` and `mos delete -f FILE`",
    ),
    (
        &["images", "push", "pull", "tag", "login", "save", "load"],
        "`mos image` moves images and shows them, with no login; `mos image copy` gives one another name",
    ),
    (
        &["build"],
        "build with a tool such as docker or buildah and push to the cluster's registry, or make an image from a directory with `mos image import`",
    ),
    (
        &[
            "logs",
            "exec",
            "attach",
            "cp",
            "port-forward",
            "debug",
            "proxy",
        ],
        "kubectl does that, with the same kubeconfig",
    ),
    (
        &["patch", "replace", "update"],
        "`mos edit TYPE/NAME` changes an object, `mos apply -f FILE` as a file says; `kubectl patch` sends a patch",
    ),
    (
        &["set", "rename", "taint"],
        "`mos edit TYPE/NAME` changes any field, `mos label` and `mos annotate` labels and annotations; `kubectl set` and `kubectl taint` single fields",
    ),
    (
        &["diff"],
        "`mos apply -f FILE --dry-run=server -o yaml` shows what would become of it; `kubectl diff -f FILE` compares",
    ),
    (
        &["wait"],
        "`mos apply -f FILE --wait` waits until all is ready, `mos get TYPE -w` shows each change; `kubectl wait` waits for a condition",
    ),
    (
        &["config", "context", "use-context"],
        "`--context NAME` chooses a context of the kubeconfig; `kubectl config` changes the file",
    ),
    (
        &["cluster-info", "info"],
        "`mos version` and `mos auth whoami` say which server and as whom",
    ),
    (
        &["certificate", "kustomize"],
        "kubectl does that, with the same kubeconfig",
    ),
];

/// Flags by which kubectl chooses server and credential, all of which are in the kubeconfig here.
const CONNECTION_FLAGS: &[&str] = &[
    "--server",
    "--cluster",
    "--user",
    "--token",
    "--username",
    "--password",
    "--certificate-authority",
    "--client-certificate",
    "--client-key",
    "--insecure-skip-tls-verify",
    "--tls-server-name",
];

/// The parser's error, with advice in place of a proposal by spelling where we know better.
pub(crate) fn advise(error: clap::Error, root_usage: &str) -> Failure {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    let usage = match error.get(ContextKind::Usage) {
        Some(ContextValue::StyledStr(usage)) => usage.to_string(),
        _ => String::new(),
    };
    let advice = match error.kind() {
        ErrorKind::InvalidSubcommand if usage == root_usage => text(ContextKind::InvalidSubcommand)
            .and_then(|name| {
                Some((
                    format!("mos has no command `{name}`"),
                    for_command(name)?.to_owned(),
                ))
            }),
        ErrorKind::UnknownArgument => text(ContextKind::InvalidArg).and_then(|argument| {
            Some((
                format!("unexpected argument `{argument}`"),
                for_argument(argument, &usage)?,
            ))
        }),
        _ => None,
    };
    match advice {
        Some((message, hint)) => Failure::usage(message).hint(hint),
        None => error.into(),
    }
}

fn for_command(name: &str) -> Option<&'static str> {
    let (_, advice) = COMMANDS.iter().find(|(names, _)| names.contains(&name))?;
    Some(advice)
}

/// Advice about an argument that a command with this usage does not take.
fn for_argument(argument: &str, usage: &str) -> Option<String> {
    let flag = argument.split('=').next().unwrap_or(argument);
    if CONNECTION_FLAGS.contains(&flag) && !usage.contains("mos server") {
        return Some(
            "server and credential stand in the kubeconfig: choose with --kubeconfig FILE and --context NAME"
                .into(),
        );
    }
    let is_word = !argument.starts_with('-');
    (is_word && usage.contains("mos apply")).then(|| format!("did you mean `-f {argument}`?"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli;

    fn failure(words: &str) -> Failure {
        let mut command = cli::command();
        let usage = command.render_usage().to_string();
        let error = command
            .try_get_matches_from(words.split(' '))
            .expect_err(words);
        advise(error, &usage)
    }

    #[test]
    fn commands_of_other_tools_lead_on() {
        for (words, wanted) in [
            ("mos ps", "did you mean `mos get pods`?"),
            ("mos -n shop inspect web", "mos describe TYPE/NAME"),
            ("mos logs web-1", "kubectl"),
            ("mos compose up", "mos apply -f FILE"),
        ] {
            let text = format!("{:?}", failure(words));
            assert!(text.contains(wanted), "{words}: {text}");
        }
    }

    #[test]
    fn a_slip_is_left_to_the_parser() {
        let failure = failure("mos desribe pods");
        assert!(failure.message().contains("'describe'"), "{failure}");
    }

    #[test]
    fn advice_about_the_top_is_not_given_further_down() {
        let failure = failure("mos auth ps");
        assert!(
            !format!("{failure:?}").contains("mos get pods"),
            "{failure:?}"
        );
    }

    #[test]
    fn kubectls_connection_flags_lead_to_the_kubeconfig() {
        for words in [
            "mos --server https://a get pods",
            "mos get pods --token=x",
            "mos apply -f x --insecure-skip-tls-verify",
        ] {
            let text = format!("{:?}", failure(words));
            assert!(text.contains("--kubeconfig FILE"), "{words}: {text}");
            assert!(!text.contains("--selector"), "{words}: {text}");
        }
    }

    #[test]
    fn a_file_without_its_flag_is_noticed() {
        let text = format!("{:?}", failure("mos apply web.yaml"));
        assert!(text.contains("did you mean `-f web.yaml`?"), "{text}");
    }

    #[test]
    fn advice_names_only_commands_that_there_are_and_none_that_is_ours() {
        let command = cli::command();
        for (names, advice) in COMMANDS {
            for name in *names {
                assert!(
                    command.find_subcommand(name).is_none(),
                    "{name} is a command"
                );
            }
            for part in advice.split("`mos ").skip(1) {
                let word = part.split([' ', '`']).next().unwrap_or_default();
                assert!(command.find_subcommand(word).is_some(), "{word}: {advice}");
            }
        }
    }
}

//! `mos version`.

use clap::Args;
use serde_json::{Value, json};

use crate::client::{Client, ConnectionArgs};
use crate::failure::Failure;
use crate::output::{self, DataFormat};

/// Show the version of this program and of the server
#[derive(Debug, Args)]
pub(crate) struct VersionArgs {
    /// Do not ask the server
    #[arg(long)]
    client: bool,
    /// Print as data
    #[arg(short, long, value_name = "FORMAT", value_enum)]
    output: Option<DataFormat>,
}

/// Runs the command. What is known is printed even if the server does not answer.
pub(crate) async fn run(args: VersionArgs, connection: &ConnectionArgs) -> Result<(), Failure> {
    let own = env!("CARGO_PKG_VERSION");
    let server = if args.client {
        Ok(None)
    } else {
        ask(connection).await.map(Some)
    };
    let (server, failure) = match server {
        Ok(server) => (server, None),
        Err(failure) => (None, Some(failure)),
    };
    match args.output {
        Some(format) => {
            let mut document = json!({"clientVersion": {"version": own, "program": "mos"}});
            if let (Some(map), Some(server)) = (document.as_object_mut(), &server) {
                map.insert("serverVersion".into(), server.clone());
            }
            format.print(&document)?;
        }
        None => {
            output::line(&format!("Client: mos {own}"))?;
            if let Some(server) = &server {
                let text = server
                    .get("gitVersion")
                    .and_then(Value::as_str)
                    .unwrap_or("unknown");
                output::line(&format!(
                    "Server: Kubernetes API {}",
                    output::style::printable(text)
                ))?;
            }
        }
    }
    failure.map_or(Ok(()), Err)
}

async fn ask(connection: &ConnectionArgs) -> Result<Value, Failure> {
    Ok(Client::connect(connection).await?.raw("/version").await?)
}

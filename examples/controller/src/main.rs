//! Runs the site controller against the server that the kubeconfig names.

use mosaic_example_controller::{install, run};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .init();
    let client = kube::Client::try_default().await?;
    install(&client).await?;
    run(client).await;
    Ok(())
}

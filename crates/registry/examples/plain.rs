//! A registry on plain HTTP, open to everybody, for trying clients and for measuring:
//! `cargo run --release -p mosaic-registry --example plain -- 127.0.0.1:5000 /tmp/registry`.

use std::sync::Arc;
use std::time::Duration;

use mosaic_registry::serve::{Anybody, serve};
use mosaic_registry::{AllowAll, Disk, Registry, Settings};
use mosaic_store::Sqlite;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:5000".into());
    let directory = arguments.next().unwrap_or_else(|| "registry".into());
    let grace = arguments.next().and_then(|text| text.parse().ok());
    let settings = Settings {
        grace: Duration::from_secs(grace.unwrap_or(24 * 3600)),
        ..Settings::default()
    };
    let disk = Disk::open(&directory)?;
    let store = Sqlite::open(format!("{directory}/state"))?;
    let registry = Registry::new(
        Arc::new(store),
        Arc::new(disk),
        Arc::new(AllowAll),
        settings,
    );
    let listener = tokio::net::TcpListener::bind(&address).await?;
    println!("serving {directory} on {}", listener.local_addr()?);
    let collector = registry.clone();
    let pause = Duration::from_secs(grace.unwrap_or(3600).max(2) / 2);
    tokio::spawn(async move { collector.collect_every(pause).await });
    serve(
        listener,
        registry,
        Arc::new(Anybody),
        std::future::pending(),
    )
    .await;
    Ok(())
}

//! One simulated host.

use std::net::{IpAddr, Ipv4Addr};

use jiff::SignedDuration;
use mosaic_node::lifecycle::Settings;
use tokio::task::AbortHandle;

use crate::{
    Options,
    addresses::{Block, block_size},
    resources::Amount,
    simulation::Simulation,
};

/// A host.
pub(super) struct Host {
    pub(super) name: Box<str>,
    pub(super) zone: Box<str>,
    pub(super) address: Ipv4Addr,
    pub(super) settings: Settings,
    pub(super) block: Block,
    /// The UID of its Node, once it is registered.
    pub(super) uid: Box<str>,
    /// What a plan of faults makes of it, and what its Node's annotation does.
    pub(super) planned: Mode,
    pub(super) annotated: Mode,
    pub(super) annotation: Box<str>,
    /// What it is.
    pub(super) mode: Mode,
    /// Counts up when what is under way for the host does not count any more.
    pub(super) epoch: u32,
    pub(super) watch: Option<AbortHandle>,
    pub(super) watch_failures: u32,
    pub(super) register_failures: u32,
    /// The version up to which its watch has come; empty for none.
    pub(super) version: Box<str>,
    /// Its watch has told of all pods, and tells what is new.
    pub(super) synced: bool,
    pub(super) was_ready: bool,
    pub(super) pods: Vec<u32>,
    /// What runs of pods that its agent does not know any more, by UID.
    pub(super) leftovers: Vec<(Box<str>, Simulation)>,
    /// What its pods ask for, and how many count.
    pub(super) used: Amount,
    pub(super) taken: u32,
}

/// How well a host is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Mode {
    #[default]
    Well,
    /// Cut off from the API.
    Silent,
    /// Without power.
    Down,
}

impl Host {
    /// The host with this number, from 0 on. None if an address range ends before it.
    pub(super) fn new(options: &Options, number: u32) -> Option<Self> {
        let index = number.checked_add(options.first)?.checked_sub(1)?;
        let address = u32::from(options.host_range.network())
            .checked_add(index)?
            .checked_add(1)?;
        let address = Ipv4Addr::from(address);
        let seconds = |time: std::time::Duration| {
            SignedDuration::try_from(time).unwrap_or(SignedDuration::MAX)
        };
        let settings = Settings {
            host_addresses: vec![IpAddr::V4(address)],
            back_off: seconds(options.back_off),
            ..Settings::default()
        };
        Some(Self {
            name: format!("{}{}", options.prefix, u64::from(index) + 1).into(),
            zone: format!("zone-{}", index % options.zones.max(1) + 1).into(),
            address,
            settings,
            block: Block::new(options.pod_range, block_size(options.pods), index)?,
            uid: Box::default(),
            planned: Mode::Well,
            annotated: Mode::Well,
            annotation: Box::default(),
            mode: Mode::Well,
            epoch: 0,
            watch: None,
            watch_failures: 0,
            register_failures: 0,
            version: Box::default(),
            synced: false,
            was_ready: false,
            pods: Vec::new(),
            leftovers: Vec::new(),
            used: Amount::default(),
            taken: 0,
        })
    }

    /// Whether it talks to the API.
    pub(super) fn is_connected(&self) -> bool {
        self.mode == Mode::Well
    }

    /// What is under way does not count any more.
    pub(super) fn next_epoch(&mut self) {
        self.epoch = self.epoch.wrapping_add(1);
        if let Some(watch) = self.watch.take() {
            watch.abort();
        }
    }
}

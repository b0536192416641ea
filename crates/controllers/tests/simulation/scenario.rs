//! A history: a while in which things are asked for and go wrong, and then calm weather, in which everything has to
//! become as it was asked for.

use std::{sync::Arc, time::Duration};

use http::Method;
use mosaic_store::Memory;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::{task::JoinSet, time::sleep};

use crate::{
    actors::{self, Process, Times},
    outcome,
    process::WallClock,
    promises::{list, text},
    user::{Kind, User, Wanted},
    world::{Weather, World},
};

/// How many servers and hosts there are.
const SERVERS: usize = 2;
const HOSTS: u32 = 4;
/// Within so many seconds of calm weather everything has to be as it was asked for.
const SETTLED: u64 = 900;
/// How often somebody looks whether it is.
const LOOK: Duration = Duration::from_secs(4);
/// How many workloads there are at most, and how many pods of each.
const WORKLOADS: usize = 5;
const REPLICAS: i64 = 5;
/// What is asked for.
const KINDS: &[Kind] = &[
    Kind::Pod,
    Kind::Deployment,
    Kind::Deployment,
    Kind::ReplicaSet,
    Kind::StatefulSet,
    Kind::StatefulSet,
    Kind::DaemonSet,
    Kind::Job,
    Kind::Job,
    Kind::CronJob,
];

/// A host, dead or alive.
struct Host {
    process: Option<Process>,
    clock: WallClock,
}

/// All that is going on.
struct Cluster {
    world: Arc<World>,
    store: Memory,
    user: User,
    times: Times,
    hosts: Mutex<Vec<Host>>,
    controllers: Mutex<Vec<Process>>,
    wanted: Mutex<Vec<Wanted>>,
    /// Names of workloads whose pods were left behind on purpose.
    orphaned: Mutex<Vec<String>>,
    names: Mutex<u32>,
    /// Whether hosts stay well, and nobody takes their pods away.
    gentle: bool,
}

/// Plays a world's history. Tells what is wrong in the end.
pub async fn play(world: &Arc<World>) -> Vec<String> {
    let store = Memory::new();
    for number in 0..SERVERS {
        world.servers.start(world, &store, number).await;
    }
    let grace = *world.pick(&[8, 16, 40]).unwrap();
    let cluster = Arc::new(Cluster {
        user: User::new(world),
        store,
        times: Times { grace },
        hosts: Mutex::default(),
        controllers: Mutex::default(),
        wanted: Mutex::default(),
        orphaned: Mutex::default(),
        names: Mutex::default(),
        gentle: world.chance(0.25),
        world: world.clone(),
    });
    world.promises.lock().rollouts.gentle = cluster.gentle;
    cluster.start_controllers();
    cluster.start_controllers();
    for number in 1..=HOSTS {
        let clock = WallClock::default();
        let process = Some(actors::host(world, number, cluster.times, &clock));
        cluster.hosts.lock().push(Host { process, clock });
    }
    let mut repairs = JoinSet::new();
    for _ in 0..world.number(10..25) {
        sleep(world.between(200, 15_000)).await;
        while repairs.try_join_next().is_some() {}
        if world.chance(0.7) {
            cluster.go_wrong(&mut repairs);
        }
        if world.chance(0.8) {
            let cluster = cluster.clone();
            cluster.request().await;
        }
    }
    cluster.calm_down(&mut repairs).await;
    cluster.settle().await
}

impl Cluster {
    fn name(&self, of: &str) -> String {
        let mut names = self.names.lock();
        *names += 1;
        format!("{of}-{names}")
    }

    fn start_controllers(&self) {
        let name = self.name("controllers");
        self.world.note(format_args!("{name} starts"));
        let process = actors::controllers(&self.world, &name, self.times);
        self.controllers.lock().extend(process);
    }

    /// Something goes wrong, and is repaired after a while.
    fn go_wrong(self: &Arc<Self>, repairs: &mut JoinSet<()>) {
        let world = &self.world;
        match world.number(0..if self.gentle { 8 } else { 13 }) {
            0 | 1 => world.set_weather(Weather::draw(world)),
            2 => world.set_weather(Weather::CALM),
            3 | 4 => self.kill_server(repairs),
            5 => self.kill_controllers(repairs),
            6 => self.cut_controllers(repairs),
            7 => self.jump(),
            8 => self.kill_host(repairs),
            9 => self.cut_host(repairs),
            10 => self.drain(repairs),
            11 => self.taint(repairs),
            _ => {
                let name = format!("host-{}", world.number(1..i64::from(HOSTS) + 1));
                let cluster = self.clone();
                repairs.spawn(async move { cluster.restart_agent(&name).await });
            }
        }
    }

    fn kill_server(self: &Arc<Self>, repairs: &mut JoinSet<()>) {
        let number = usize::try_from(self.world.number(0..SERVERS as i64)).unwrap();
        if !self.world.servers.kill(number) {
            return;
        }
        self.world.note(format_args!("server-{number} dies"));
        let cluster = self.clone();
        repairs.spawn(async move {
            let (world, store) = (&cluster.world, &cluster.store);
            loop {
                sleep(world.between(100, 20_000)).await;
                world.note(format_args!("server-{number} starts"));
                world.servers.start(world, store, number).await;
                if world.servers.running(number).is_some() {
                    return;
                }
            }
        });
    }

    /// Takes out one of the processes with controllers.
    fn some_controllers(&self) -> Option<Process> {
        let mut all = self.controllers.lock();
        if all.is_empty() {
            return None;
        }
        let index = usize::try_from(self.world.number(0..all.len() as i64)).unwrap();
        Some(all.remove(index))
    }

    fn kill_controllers(self: &Arc<Self>, repairs: &mut JoinSet<()>) {
        let Some(process) = self.some_controllers() else {
            return;
        };
        let name = process.name.clone();
        if self.world.chance(0.7) {
            self.world.note(format_args!("{name} dies"));
            process.kill();
        } else {
            self.world.note(format_args!("{name} ends"));
            process.stop();
        }
        let cluster = self.clone();
        repairs.spawn(async move {
            sleep(cluster.world.between(0, 15_000)).await;
            cluster.start_controllers();
        });
    }

    /// A process with controllers hears and says nothing for a while, but goes on.
    fn cut_controllers(self: &Arc<Self>, repairs: &mut JoinSet<()>) {
        let Some(process) = self.some_controllers() else {
            return;
        };
        self.world.note(format_args!("{} is cut off", process.name));
        process.cut(true);
        let cluster = self.clone();
        repairs.spawn(async move {
            sleep(cluster.world.between(500, 30_000)).await;
            cluster.world.note(format_args!("{} is back", process.name));
            process.cut(false);
            cluster.controllers.lock().push(process);
        });
    }

    /// Takes out one of the hosts' processes.
    fn some_host(&self) -> Option<(usize, Process)> {
        let index = usize::try_from(self.world.number(0..i64::from(HOSTS))).unwrap();
        let mut hosts = self.hosts.lock();
        let process = hosts.get_mut(index)?.process.take()?;
        Some((index, process))
    }

    /// A host loses power, and all that ran on it; its clock may be off when it is back.
    fn kill_host(self: &Arc<Self>, repairs: &mut JoinSet<()>) {
        let Some((index, process)) = self.some_host() else {
            return;
        };
        self.world.note(format_args!("{} dies", process.name));
        process.kill();
        let cluster = self.clone();
        repairs.spawn(async move {
            let world = &cluster.world;
            sleep(world.between(500, 90_000)).await;
            let number = u32::try_from(index + 1).unwrap();
            let mut hosts = cluster.hosts.lock();
            if world.chance(0.3) {
                let off = world.number(-120_000..120_000);
                world.note(format_args!(
                    "the clock of host-{number} is off by {off} ms"
                ));
                hosts[index].clock.set(off);
            }
            world.note(format_args!("host-{number} starts"));
            let clock = hosts[index].clock.clone();
            hosts[index].process = Some(actors::host(world, number, cluster.times, &clock));
        });
    }

    fn cut_host(self: &Arc<Self>, repairs: &mut JoinSet<()>) {
        let Some((index, process)) = self.some_host() else {
            return;
        };
        self.world.note(format_args!("{} is cut off", process.name));
        process.cut(true);
        let cluster = self.clone();
        repairs.spawn(async move {
            sleep(cluster.world.between(500, 90_000)).await;
            cluster.world.note(format_args!("{} is back", process.name));
            process.cut(false);
            cluster.hosts.lock()[index].process = Some(process);
        });
    }

    /// A host's agent starts anew, and finds what runs.
    async fn restart_agent(&self, name: &str) {
        self.world
            .note(format_args!("the agent of {name} starts anew"));
        let path = format!("/api/v1/nodes/{name}");
        let annotation =
            |value: Option<&str>| json!({ "metadata": { "annotations": { "mosaic/sim": value } } });
        self.user.change(&path, &annotation(Some("restart"))).await;
        sleep(self.world.between(1_000, 10_000)).await;
        self.user.change(&path, &annotation(None)).await;
    }

    /// A host is emptied within the budgets, and gets pods again a while later.
    fn drain(self: &Arc<Self>, repairs: &mut JoinSet<()>) {
        let cluster = self.clone();
        let name = format!("host-{}", self.world.number(1..i64::from(HOSTS) + 1));
        repairs.spawn(async move {
            let (world, user) = (&cluster.world, &cluster.user);
            world.note(format_args!("user: {name} is drained"));
            let path = format!("/api/v1/nodes/{name}");
            let cordon = |on: bool| json!({ "spec": { "unschedulable": on } });
            user.change(&path, &cordon(true)).await;
            for pod in cluster.pods().await {
                if text(&pod, "/spec/nodeName") == name && !is_of(&pod, Kind::DaemonSet) {
                    user.evict(text(&pod, "/metadata/name")).await;
                }
            }
            sleep(world.between(1_000, 30_000)).await;
            world.note(format_args!("user: {name} may get pods again"));
            user.change(&path, &cordon(false)).await;
        });
    }

    /// A host gets a taint that nobody tolerates.
    fn taint(self: &Arc<Self>, repairs: &mut JoinSet<()>) {
        let cluster = self.clone();
        let name = format!("host-{}", self.world.number(1..i64::from(HOSTS) + 1));
        repairs.spawn(async move {
            let world = &cluster.world;
            world.note(format_args!("user: {name} is tainted"));
            let path = format!("/api/v1/nodes/{name}");
            let taint = json!({ "key": "simulation", "effect": "NoExecute" });
            cluster
                .set_taints(&path, |taints| taints.push(taint.clone()))
                .await;
            sleep(world.between(1_000, 30_000)).await;
            world.note(format_args!("user: {name} is clean again"));
            let is_ours = |taint: &Value| taint["key"] == "simulation";
            cluster
                .set_taints(&path, |taints| taints.retain(|taint| !is_ours(taint)))
                .await;
        });
    }

    /// Changes a host's taints, beside others who do.
    async fn set_taints(&self, path: &str, change: impl Fn(&mut Vec<Value>)) {
        for _ in 0..50 {
            let Some(node) = self.user.ask(Method::GET, path, None).await else {
                return;
            };
            let mut taints = node["spec"]["taints"]
                .as_array()
                .cloned()
                .unwrap_or_default();
            change(&mut taints);
            let patch = json!({ "spec": { "taints": taints },
                "metadata": { "resourceVersion": node["metadata"]["resourceVersion"] } });
            if self.user.change(path, &patch).await.is_some() {
                return;
            }
        }
    }

    async fn pods(&self) -> Vec<Value> {
        let pods = self.user.ask(Method::GET, &Kind::Pod.path(), None).await;
        let pods = pods.iter().flat_map(|pods| list(pods, "/items"));
        pods.cloned().collect()
    }

    /// A clock jumps: that of a server, or that of the controllers.
    fn jump(&self) {
        let world = &self.world;
        let most = *world.pick(&[2_000, 60_000, 600_000]).unwrap();
        let off = world.number(-most..most);
        let number = usize::try_from(world.number(0..SERVERS as i64 + 1)).unwrap();
        match world.servers.running(number) {
            Some(server) if number < SERVERS => {
                world.note(format_args!(
                    "the clock of server-{number} is off by {off} ms"
                ));
                server.clock().set(off);
            }
            _ => {
                world.note(format_args!(
                    "the clock of the controllers is off by {off} ms"
                ));
                WallClock::for_rest(off);
            }
        }
    }

    /// Somebody asks for something.
    async fn request(&self) {
        let world = &self.world;
        let some = world.pick(&self.wanted.lock()[..]).cloned();
        match (world.number(0..8), some) {
            (0..3, _) if self.wanted.lock().len() < WORKLOADS => self.want_more().await,
            (3, Some(mut one)) if can_scale(one.kind) => {
                one.replicas = world.number(0..REPLICAS + 1);
                world.note(format_args!(
                    "user: {} is to have {}",
                    one.name, one.replicas
                ));
                self.remember(&one);
                self.user.scale(&one).await;
            }
            (4, Some(mut one)) if can_update(one.kind) => {
                one.version += 1;
                world.note(format_args!(
                    "user: {} gets version {}",
                    one.name, one.version
                ));
                self.remember(&one);
                self.user.update(&one).await;
            }
            (5, Some(one)) => {
                let ways = ["Background", "Foreground", "Orphan"];
                let how = *world.pick(&ways).unwrap();
                if how == "Orphan" {
                    self.orphaned.lock().push(one.name.clone());
                }
                world.note(format_args!("user: {} is to go ({how})", one.name));
                self.wanted.lock().retain(|known| known.name != one.name);
                self.user.delete(&one, how).await;
            }
            (6, _) if !self.gentle => self.delete_pod().await,
            _ => {}
        }
    }

    fn remember(&self, one: &Wanted) {
        let mut wanted = self.wanted.lock();
        if let Some(known) = wanted.iter_mut().find(|known| known.name == one.name) {
            *known = one.clone();
        }
    }

    async fn want_more(&self) {
        let world = &self.world;
        let kind = *world.pick(KINDS).unwrap();
        let wanted = Wanted {
            kind,
            name: self.name(&kind.name().to_lowercase()),
            replicas: world.number(1..REPLICAS + 1),
            version: 1,
            fails: kind == Kind::Job && world.chance(0.2),
            budget: kind != Kind::Job && kind != Kind::CronJob && world.chance(0.3),
        };
        world.note(format_args!("user: wants {wanted:?}"));
        self.wanted.lock().push(wanted.clone());
        self.user.want(&wanted).await;
    }

    async fn delete_pod(&self) {
        let pods = self.pods().await;
        let owned = pods.iter();
        let owned = owned.filter(|pod| pod["metadata"].get("ownerReferences").is_some());
        let names: Vec<&str> = owned.map(|pod| text(pod, "/metadata/name")).collect();
        if let Some(name) = self.world.pick(&names) {
            self.world.note(format_args!("user: pod {name} is to go"));
            let path = format!("{}/{name}", Kind::Pod.path());
            self.user.ask(Method::DELETE, &path, None).await;
        }
    }

    /// Nothing goes wrong any more, and what is broken is repaired.
    async fn calm_down(&self, repairs: &mut JoinSet<()>) {
        self.world.note("calm");
        self.world.set_weather(Weather::CALM);
        while repairs.join_next().await.is_some() {}
        // What was left behind is nobody's, and goes when it is told to.
        let orphaned = self.orphaned.lock().clone();
        for name in orphaned {
            self.world
                .note(format_args!("user: what is left of {name} is to go"));
            self.user.sweep(&name).await;
        }
        WallClock::for_rest(0);
        for number in 0..SERVERS {
            if let Some(server) = self.world.servers.running(number) {
                server.clock().set(0);
            }
        }
    }

    /// Waits for all to be as it was asked for, and to stay so.
    async fn settle(&self) -> Vec<String> {
        let wanted = self.wanted.lock().clone();
        let mut unmet = Vec::new();
        let mut met = 0;
        for _ in 0..SETTLED / LOOK.as_secs() {
            sleep(LOOK).await;
            unmet = outcome::unmet(&self.store, &wanted, HOSTS as usize).await;
            met = if unmet.is_empty() { met + 1 } else { 0 };
            let broken = self.world.promises.lock().all_broken().to_vec();
            if !broken.is_empty() {
                return broken;
            }
            if met == 4 {
                return Vec::new();
            }
        }
        unmet
    }
}

fn can_scale(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Deployment | Kind::ReplicaSet | Kind::StatefulSet
    )
}

fn can_update(kind: Kind) -> bool {
    matches!(kind, Kind::Deployment | Kind::DaemonSet | Kind::StatefulSet)
}

fn is_of(pod: &Value, kind: Kind) -> bool {
    list(pod, "/metadata/ownerReferences").any(|owner| text(owner, "/kind") == kind.name())
}

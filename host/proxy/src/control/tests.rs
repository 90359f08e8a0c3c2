#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream as Socket;

use howdah_cluster::NodeSpec;
use howdah_policy::{Options, PolicySpec, sha256};

use super::*;
use crate::access::{Lookup, Memory};
use crate::cli::{Actions, execute_from};
use crate::config::{Config, Policy};
use crate::monitor::Watch;
use crate::peers::Peers;
use crate::policies::{self, READ_WRITE_SPLIT};
use crate::worker::Doors;

const ACTIONS: Actions =
    Actions { run: |_, _| anyhow::bail!("run"), demo: |_| anyhow::bail!("demo") };

/// A registry with one policy, and its socket, served until the directory goes.
struct House {
    directory: tempfile::TempDir,
    registry: Arc<Registry>,
}

fn spec(bytes: Vec<u8>) -> PolicySpec {
    let mut spec = policies::file(&Policy::default()).spec;
    (spec.bytes, spec.origin) = (bytes.into(), "a test".to_owned());
    spec
}

/// A proxy of two nodes that nobody has asked yet.
fn shared(registry: &Arc<Registry>) -> Arc<Shared> {
    let config = Config::from_nodes(&["a".to_owned(), "b".to_owned()]).unwrap();
    let spec = |node: &crate::config::Node| NodeSpec {
        name: node.name.clone(),
        labels: Vec::new(),
        cluster: ClusterId(0),
    };
    let specs = config.clusters[0].nodes.iter().map(spec).collect();
    let watch = Watch {
        name: "main".to_owned(),
        interval: Duration::from_secs(1),
        timeout: Duration::from_secs(1),
        patroni: Vec::new(),
        definitions: true,
    };
    let monitor = crate::monitor::Monitor::new(vec![watch], specs, Vec::new(), Arc::default());
    let peers = Peers::find(&[], &[]).unwrap();
    let memory = Memory { lookup: Lookup::new().0, keys: Arc::default(), crowd: Arc::default() };
    let doors = Doors {
        workers: Vec::new(),
        changes: tokio::sync::mpsc::unbounded_channel().0,
        door: tokio::sync::mpsc::unbounded_channel().0,
        tracer: None,
    };
    Shared::new(config, peers, Arc::clone(registry), monitor, memory, doors)
}

impl House {
    fn new() -> House {
        House::with(None)
    }

    fn with(kv: Option<Arc<kv::Status>>) -> House {
        let directory = tempfile::tempdir().unwrap();
        let registry = Registry::new(Options { workers: 1 }).unwrap();
        registry.apply(vec![spec(READ_WRITE_SPLIT.to_vec())]).unwrap();
        let (served, path) = (Arc::clone(&registry), directory.path().join("control"));
        let (ready, bound) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let local = tokio::task::LocalSet::new();
            local.block_on(&runtime.unwrap(), async {
                let (listener, file) = bind(&path, &PassedOn::default()).unwrap();
                ready.send(()).unwrap();
                let recordings = Recordings::new(Arc::clone(&served));
                let shared = shared(&served);
                let (upgrades, _) = mpsc::unbounded_channel();
                let operated = Operated { registry: served, kv, recordings, shared, upgrades };
                Control::new(listener, file).serve(operated).await;
            });
        });
        bound.recv().unwrap();
        House { directory, registry }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("control")
    }

    /// What `howdah policy …` prints, or its error.
    fn howdah(&self, arguments: &[&str]) -> Result<String, String> {
        let path = self.path();
        let typed = ["howdah", "policy"].iter().chain(arguments);
        let typed = typed.copied().chain(["--socket", path.to_str().unwrap()]);
        let mut out = Vec::new();
        execute_from(typed, &ACTIONS, &mut out).map_err(|error| format!("{error:#}"))?;
        Ok(String::from_utf8(out).unwrap())
    }

    /// The answer to some bytes, after which nothing more comes.
    fn send(&self, bytes: &[u8]) -> String {
        let mut socket = Socket::connect(self.path()).unwrap();
        // Whoever has read enough hangs up.
        let _ = socket.write_all(bytes);
        let _ = socket.shutdown(Shutdown::Write);
        let mut answer = String::new();
        let _ = socket.read_to_string(&mut answer);
        answer
    }
}

#[test]
fn versions_are_shown_rolled_back_and_promoted() {
    let house = House::new();
    let second = [READ_WRITE_SPLIT, &[0, 3, 1, b'v', 2]].concat();
    let (old, new) = (sha256(READ_WRITE_SPLIT), sha256(&second));
    house.registry.apply(vec![spec(second)]).unwrap();
    let table = house.howdah(&["status"]).unwrap();
    assert!(table.contains(&format!("read-write-split  {}  live", &new[..12])), "{table}");
    assert!(table.contains(&format!("previous: {}", &old[..12])), "{table}");
    let done = house.howdah(&["rollback", "read-write-split"]).unwrap();
    assert_eq!(done, "read-write-split was rolled back\n");
    let status: Value =
        serde_json::from_str(&house.howdah(&["status", "--json"]).unwrap()).unwrap();
    assert_eq!(status["policies"][0]["sha256"], old.as_str());
    assert_eq!(status["policies"][0]["rolled_back"], new.as_str());
    house.howdah(&["promote", "read-write-split"]).unwrap();
    assert_eq!(house.registry.status()[0].sha256, new);
    let error = house.howdah(&["promote", "read-write-split"]).unwrap_err();
    assert!(error.contains("none was rolled back"), "{error}");
    let error = house.howdah(&["release", "nobody"]).unwrap_err();
    assert!(error.contains("there is no such policy; there is read-write-split"), "{error}");
}

#[test]
fn a_trial_is_shown() {
    let house = House::new();
    let second = [READ_WRITE_SPLIT, &[0, 3, 1, b'v', 2]].concat();
    let short = sha256(&second)[..12].to_owned();
    let rollout = howdah_policy::Rollout::Shadow;
    house.registry.apply(vec![PolicySpec { rollout, ..spec(second) }]).unwrap();
    let table = house.howdah(&["status"]).unwrap();
    assert!(table.contains(&format!("on trial: {short} as shadow")), "{table}");
    assert!(table.contains("compared: 0 agreed, 0 disagreed, 0 skipped"), "{table}");
}

#[test]
fn shared_values_are_shown() {
    let house = House::new();
    let values = house.registry.values("counts", &howdah_policy::Limits::default());
    assert!(values.set("k", b"12345", None));
    let table = house.howdah(&["status"]).unwrap();
    assert!(table.contains("shared values: in memory\n  counts: 1 keys, 70 bytes\n"), "{table}");
    let json = |house: &House| -> Value {
        serde_json::from_str(&house.howdah(&["status", "--json"]).unwrap()).unwrap()
    };
    let space = json!({ "name": "counts", "keys": 1, "bytes": 70 });
    let status = json(&house);
    assert_eq!(status["kv"]["redis"], Value::Null);
    assert!(status["kv"]["spaces"].as_array().unwrap().contains(&space), "{status}");
}

#[test]
fn an_absent_redis_is_shown() {
    let status = Arc::new(kv::Status::default());
    let house = House::with(Some(Arc::clone(&status)));
    let table = house.howdah(&["status"]).unwrap();
    // A loaded machine takes its time to ask.
    assert!(table.contains("shared values: Redis is away for "), "{table}");
    assert!(table.contains(" s; never exchanged"), "{table}");
    let json = house.howdah(&["status", "--json"]).unwrap();
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["kv"]["redis"]["connected"], false);
    assert_eq!(json["kv"]["redis"]["last_exchange_seconds"], Value::Null);
}

#[test]
fn only_its_user_may_use_the_socket() {
    let house = House::new();
    let mode = std::fs::metadata(house.path()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn garbage_gets_an_error_and_harms_nobody() {
    let house = House::new();
    let long = [b"promote ".as_slice(), &[b'x'; 2 * MAX_LINE as usize], b"\n"].concat();
    for bytes in
        [b"\n".as_slice(), b"drop\n", b"status x\n", b"status", b"\xff\n", b"promote\n", &long]
    {
        let answer = house.send(bytes);
        let wrong = answer.contains("error") || bytes.len() as u64 > MAX_LINE;
        assert!(wrong, "{:?}: {answer}", String::from_utf8_lossy(bytes));
    }
    let idle: Vec<Socket> = (1..MOST).map(|_| Socket::connect(house.path()).unwrap()).collect();
    assert!(house.send(b"status\n").contains("read-write-split"));
    drop(idle);
}

#[tokio::test]
async fn what_is_no_socket_is_left_alone_and_a_left_over_one_is_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("control");
    std::fs::write(&path, "precious").unwrap();
    let listens = PassedOn::default();
    let error = bind(&path, &listens).err().unwrap();
    assert!(format!("{error:#}").contains("something else than a socket"), "{error:#}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
    std::fs::remove_file(&path).unwrap();
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let control = bind(&path, &listens).unwrap();
    let error = bind(&path, &listens).err().unwrap();
    assert!(format!("{error:#}").contains("another process does"), "{error:#}");
    drop(control);
    assert!(!path.exists());
}

#[test]
fn nodes_are_shown_and_given_no_work() {
    let house = House::new();
    let show = |line: &str| serde_json::from_str::<Value>(&house.send(line.as_bytes())).unwrap();
    let before = show("nodes\n");
    let cluster = &before["clusters"][0];
    assert_eq!((&cluster["name"], &cluster["paused"]), (&json!("main"), &json!(false)));
    assert_eq!(cluster["nodes"][1]["name"], "b:5432");
    assert_eq!(show("drain b:5432\n")["clusters"][0]["nodes"][1]["drained"], true);
    assert_eq!(show("undrain b:5432\n"), before);
    assert_eq!(show("pause\n")["clusters"][0]["paused"], true);
    assert_eq!(show("resume main\n"), before);
    assert_eq!(show("pause x\n")["error"], "there is no cluster \"x\"; there are main");
    assert_eq!(show("drain c\n")["error"], "there is no node \"c\"; there are a:5432, b:5432");
}

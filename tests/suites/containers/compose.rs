//! What the example's compose file says about its services and volumes.

use std::fs;
use std::time::Duration;

use serde_json::Value;

use crate::image::example;

/// A parsed compose file.
#[derive(Debug)]
pub struct Compose(Value);

/// How a service is run.
#[derive(Debug, Clone)]
pub struct Service {
    pub name: String,
    /// `user`, if it is not the image's.
    pub user: Option<String>,
    pub hostname: Option<String>,
    pub working_dir: Option<String>,
    pub environment: Vec<(String, String)>,
    pub read_only: bool,
    /// `cap_drop: [ALL]`, and `no-new-privileges`.
    pub drops_all: bool,
    pub no_new_privileges: bool,
    /// In MiB.
    pub memory: Option<u64>,
    pub grace: Duration,
    /// Where, each.
    pub tmpfs: Vec<String>,
    /// What, where, and whether only to be read.
    pub mounts: Vec<(String, String, bool)>,
    /// The words of the check, after `CMD`.
    pub health: Option<Vec<String>>,
    /// Whom it is started after, when they are healthy.
    pub after: Vec<String>,
}

impl Compose {
    pub fn read() -> Self {
        Self(document("compose.yml"))
    }

    /// The options of a volume's mount.
    pub fn volume(&self, name: &str) -> &str {
        let driver = &self.0["volumes"][name]["driver_opts"];
        assert_eq!([&driver["type"], &driver["device"]], ["tmpfs", "tmpfs"], "volume {name}");
        driver["o"].as_str().unwrap()
    }

    pub fn service(&self, name: &str) -> Service {
        let service = &self.0["services"][name];
        let text = |key: &str| service[key].as_str().map(str::to_owned);
        let security = strings(&service["security_opt"]);
        Service {
            name: name.to_owned(),
            user: text("user"),
            hostname: text("hostname"),
            working_dir: text("working_dir"),
            environment: Vec::new(),
            read_only: service["read_only"] == true,
            drops_all: strings(&service["cap_drop"]) == ["ALL"],
            no_new_privileges: security.iter().any(|option| option == "no-new-privileges:true"),
            memory: text("mem_limit").map(|limit| limit.strip_suffix('m').unwrap().parse().unwrap()),
            grace: seconds(&text("stop_grace_period").unwrap()),
            tmpfs: strings(&service["tmpfs"]),
            mounts: strings(&service["volumes"]).iter().map(|line| mount(line)).collect(),
            health: strings(&service["healthcheck"]["test"]).split_first().map(|(kind, words)| {
                assert_eq!(kind, "CMD");
                words.to_vec()
            }),
            after: conditions(&service["depends_on"]),
        }
    }
}

impl Service {
    /// What another compose file, after the first, changes about it: values are replaced, lists become longer.
    pub fn with(mut self, file: &str) -> Self {
        let more = &document(file)["services"][&self.name];
        let text = |key: &str| more[key].as_str().map(str::to_owned);
        self.working_dir = text("working_dir").or(self.working_dir);
        let variables = more["environment"].as_object().into_iter().flatten();
        let variables = variables.map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned()));
        self.environment.extend(variables);
        self.mounts.extend(strings(&more["volumes"]).iter().map(|line| mount(line)));
        self
    }
}

/// A YAML file of the example.
fn document(name: &str) -> Value {
    serde_saphyr::from_str(&fs::read_to_string(example().join(name)).unwrap()).unwrap()
}

/// A list of strings; empty if there is none.
pub fn strings(list: &Value) -> Vec<String> {
    let all = list.as_array().into_iter().flatten();
    all.map(|one| one.as_str().unwrap().to_owned()).collect()
}

fn seconds(text: &str) -> Duration {
    Duration::from_secs(text.strip_suffix('s').unwrap().parse().unwrap())
}

fn mount(line: &str) -> (String, String, bool) {
    let mut parts = line.split(':').map(str::to_owned);
    let (what, to) = (parts.next().unwrap(), parts.next().unwrap());
    (what, to, parts.next().is_some_and(|mode| mode == "ro"))
}

fn conditions(depends_on: &Value) -> Vec<String> {
    let all = depends_on.as_object().into_iter().flatten();
    all.map(|(name, on)| {
        assert_eq!(on["condition"], "service_healthy", "{name}");
        name.clone()
    })
    .collect()
}

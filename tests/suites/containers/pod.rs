//! The example's pod, as its file for Kubernetes says.

use std::fs;
use std::time::Duration;

use serde_json::Value;

use crate::compose::{Service, strings};
use crate::image::example;

/// What the file has, by kind.
pub struct Pod {
    template: Value,
    config: String,
}

impl Pod {
    pub fn read() -> Self {
        let text = fs::read_to_string(example().join("kubernetes.yml")).unwrap();
        let documents: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
        let of = |kind: &str| documents.iter().find(|document| document["kind"] == kind).unwrap();
        let config = of("ConfigMap")["data"]["nginx.conf"].as_str().unwrap().to_owned();
        Self { template: of("Deployment")["spec"]["template"]["spec"].clone(), config }
    }

    /// The configuration of nginx.
    pub fn config(&self) -> &str {
        &self.config
    }

    /// How the folder of a volume in memory is mounted: open to all, and of the pod's group.
    pub fn volume(&self) -> String {
        format!("mode=2777,gid={}", self.template["securityContext"]["fsGroup"])
    }

    /// A container, or one of those before.
    pub fn service(&self, name: &str) -> Service {
        let container = self.container(name);
        let security = &container["securityContext"];
        let mounts = container["volumeMounts"].as_array().unwrap().iter();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (tmp, others): (Vec<_>, Vec<_>) = mounts.partition(|mount| mount["name"] == "tmp");
        let memory = container["resources"]["limits"]["memory"].as_str();
        let grace = self.template["terminationGracePeriodSeconds"].as_u64().unwrap();
        Service {
            name: name.to_owned(),
            user: Some(format!("{}:{}", security["runAsUser"], security["runAsGroup"])),
            hostname: Some("pod".to_owned()),
            working_dir: None,
            environment: Vec::new(),
            read_only: security["readOnlyRootFilesystem"] == true,
            drops_all: strings(&security["capabilities"]["drop"]) == ["ALL"],
            no_new_privileges: security["allowPrivilegeEscalation"] == false,
            memory: memory.map(|limit| limit.strip_suffix("Mi").unwrap().parse().unwrap()),
            // What is left of it when `preStop` is over.
            grace: Duration::from_secs(
                grace - container["lifecycle"]["preStop"]["sleep"]["seconds"].as_u64().unwrap_or(0),
            ),
            tmpfs: tmp.iter().map(|mount| text(&mount["mountPath"])).collect(),
            mounts: others
                .iter()
                .map(|mount| {
                    let what = format!("{}/{}", text(&mount["name"]), text(&mount["subPath"]));
                    (what, text(&mount["mountPath"]), false)
                })
                .collect(),
            health: None,
            after: Vec::new(),
        }
    }

    /// The words that a container runs instead of its image's.
    pub fn command(&self, name: &str) -> Vec<String> {
        strings(&self.container(name)["command"])
    }

    /// The words of a probe.
    pub fn probe(&self, name: &str, kind: &str) -> Vec<String> {
        strings(&self.container(name)[kind]["exec"]["command"])
    }

    fn container(&self, name: &str) -> &Value {
        let lists = ["initContainers", "containers"].map(|list| self.template[list].as_array().unwrap());
        lists.into_iter().flatten().find(|container| container["name"] == name).unwrap()
    }
}

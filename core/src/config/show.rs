//! A configuration as others see it.

use serde_json::json;

use super::Config;
use super::layer::Layer;
use super::section::Field;
use crate::wire::Json;

/// What the command `config` answers (docs/05-ipc.md): `{config, files}`, where `config` is what a file would say that
/// gives this configuration: camelCase keys, defaults filled in, paths absolute.
#[must_use]
pub fn resolved(config: &Config) -> Json {
    let files: Vec<_> = config.files.iter().map(|file| file.to_string_lossy()).collect();
    Json::of(&json!({ "config": Layer::from(config).json(), "files": files }))
}

/// The JSON Schema (draft 2020-12) of a configuration file, for editors.
#[must_use]
pub fn schema() -> serde_json::Value {
    let mut schema = Layer::defaults().schema();
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema".into();
    schema["title"] = "nodesockd".into();
    schema["not"] = json!({ "required": ["script", "command"] });
    schema
}

//! Configuration files.

use std::os::unix::fs::PermissionsExt;

use nodesockd_tests::{App, http};
use serde_json::Value;

/// The names in a folder of the app, sorted.
fn names(app: &App, folder: &str) -> Vec<String> {
    let entries = std::fs::read_dir(app.path(folder)).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn sockets_may_be_in_a_folder_of_their_own() {
    for (setting, folder) in [("sub/{worker}.sock", "run/sub"), ("../{worker}.sock", "."), ("/", "outside")] {
        let app = App::new();
        std::fs::create_dir_all(app.path(folder)).unwrap();
        std::fs::create_dir(app.path("outside")).ok();
        let absolute = app.path("outside/{worker}.sock");
        let setting = if setting == "/" { absolute.to_str().unwrap() } else { setting };
        let app = app.set("socketFile", setting);
        let mut daemon = app.start();
        let link = app.path(folder).join("0.sock");
        assert_eq!(http::get(&link, "/").status, 200);
        let id = daemon.status().slot(0).id.clone();
        assert_eq!(std::fs::read_link(&link).unwrap().to_str(), Some(format!("{id}.sock").as_str()));
        assert!(!names(&app, "run").iter().any(|name| name.ends_with(".sock")), "{:?}", names(&app, "run"));

        assert_eq!(app.cli(&["restart"]).code, 0);
        assert_eq!(http::get(&link, "/").status, 200);
        assert_ne!(daemon.status().slot(0).id, id);
        assert_eq!(daemon.quit(), Some(0));
        let left = names(&app, folder).into_iter().filter(|name| name.ends_with(".sock"));
        assert_eq!(left.collect::<Vec<_>>(), [""; 0], "{setting}");
    }
}

#[test]
fn sockets_in_a_folder_outlive_the_daemon_with_their_workers() {
    let app = App::new().set("socketFile", "sub/{worker}.sock");
    std::fs::create_dir(app.path("run/sub")).unwrap();
    let mut daemon = app.start();
    let worker = daemon.status().slot(0).process();
    daemon.die();
    assert_eq!(http::get(&app.path("run/sub/0.sock"), "/").status, 200);
    let status = daemon.follow(app.launch());
    assert_eq!(status.slot(0).process(), worker);
    assert_eq!(http::get(&app.path("run/sub/0.sock"), "/").status, 200);
}

#[test]
fn workers_that_are_left_in_another_folder_are_not_lost() {
    let mut app = App::new();
    let mut daemon = app.start();
    let worker = daemon.status().slot(0).process();
    std::fs::create_dir(app.path("run/sub")).unwrap();
    app.change("socketFile", "sub/{worker}.sock");
    app.save();
    let refused = app.cli(&["reload"]);
    assert_eq!(refused.code, 3, "{refused}");
    assert!(
        refused.stderr.contains("the folder in `socketFile` cannot change while the daemon runs"),
        "{refused}"
    );

    daemon.die();
    let output = app.cli(&["daemon"]);
    assert_eq!(output.code, 1, "{output}");
    let said =
        format!("workers that an earlier daemon left, processes {}, have their sockets in", worker.pid);
    assert!(output.stderr.contains(&said), "{output}");
    assert!(worker.is_alive());
    assert_eq!(http::get(&app.link(0), "/").status, 200);

    app.change("socketFile", "app.{worker}.sock");
    let status = daemon.follow(app.launch());
    assert_eq!(status.slot(0).process(), worker);
}

#[test]
fn a_folder_of_sockets_has_to_be_there_and_safe() {
    let app = App::new().set("socketFile", "sub/{worker}.sock");
    app.save();
    let output = app.cli(&["daemon"]);
    assert_eq!(output.code, 1, "{output}");
    assert!(output.stderr.contains("run/sub`: it does not exist"), "{output}");

    std::fs::create_dir(app.path("run/sub")).unwrap();
    std::fs::set_permissions(app.path("run/sub"), PermissionsExt::from_mode(0o777)).unwrap();
    let output = app.cli(&["daemon"]);
    assert_eq!(output.code, 1, "{output}");
    assert!(output.stderr.contains("others may create and rename files in it"), "{output}");
    let output = app.cli(&["check"]);
    assert_eq!(output.code, 3, "{output}");
    assert!(output.stdout.contains("✗ the folder of `socketFile`"), "{output}");
}

#[test]
fn the_configuration_is_answered_with_absolute_paths() {
    let app = App::new();
    let _daemon = app.start();
    let config = app.connect().request("config", &Value::Null).data["config"].clone();
    assert_eq!(config["socketFile"], app.path("run/app.{worker}.sock").to_str().unwrap());
    assert_eq!(config["ipcFile"], app.ipc().to_str().unwrap());
}

/// What a 2.x configuration of this app says, in YAML.
const YAML: &str = "script: app.js\ntmpDir: run\nname: shop\noptions: { onlineTimeout: 50000 }\n";

#[test]
fn files_of_any_name_are_read_as_yaml() {
    let json = "{\n\t\"script\": \"app.js\",\n\t\"tmpDir\": \"run\",\n\t\"name\": \"shop\"\n}\n";
    for (name, text) in [("app.conf", YAML), ("prod.json", json), ("prod.yml.dist", YAML), ("prod", YAML)] {
        let app = App::new();
        app.write(name, text);
        let daemon = app.launch().arg("--config").arg(name).start();
        assert_eq!(daemon.status().name, "shop", "{name}");
        let output = app.cli(&["-c", name, "status"]);
        assert_eq!(output.code, 0, "{name}: {output}");
    }
}

#[test]
fn files_of_any_name_may_be_extended() {
    let app = App::new().set("extends", "./base.conf").unset("script");
    app.write("base.conf", YAML);
    let daemon = app.start();
    assert_eq!(daemon.status().name, "shop");
}

#[test]
fn packages_export_configuration_files() {
    let package = r#"{
        "name": "@acme/config",
        "exports": {
            ".": { "import": "./none.mjs", "require": "./whole.yml" },
            "./base": "./files/base.yml",
            "./env/*": { "default": "./files/*.yml" }
        }
    }"#;
    let specifiers = [
        ("@acme/config", "whole"),
        ("@acme/config/base", "base"),
        ("@acme/config/env/live", "live"),
        ("@acme/config/files/direct.yml", "direct"),
        ("by-main", "main"),
    ];
    for (specifier, name) in specifiers {
        let app = App::new().set("extends", specifier);
        std::fs::create_dir_all(app.path("node_modules/@acme/config/files")).unwrap();
        std::fs::create_dir(app.path("node_modules/by-main")).unwrap();
        app.write("node_modules/@acme/config/package.json", package);
        app.write("node_modules/@acme/config/whole.yml", "name: whole\n");
        for name in ["base", "live", "direct"] {
            app.write(&format!("node_modules/@acme/config/files/{name}.yml"), &format!("name: {name}\n"));
        }
        app.write("node_modules/by-main/package.json", r#"{ "main": "config" }"#);
        app.write("node_modules/by-main/config.json", r#"{ "name": "main" }"#);
        let daemon = app.start();
        assert_eq!(daemon.status().name, name, "{specifier}");
    }
}

#[test]
fn toml_wins_over_the_yaml_beside_it_and_check_says_so() {
    let app = App::new();
    app.save();
    app.write("nodesockd.yml", YAML);
    let output = app.cli(&["check"]);
    assert_eq!(output.code, 0, "{output}");
    let said = format!(
        "! {} is not read: {} wins",
        app.path("nodesockd.yml").display(),
        app.path("nodesockd.toml").display()
    );
    assert!(output.stdout.contains(&said), "{output}");
}

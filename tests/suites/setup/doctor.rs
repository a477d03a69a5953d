//! `nodesockd doctor`: says nothing of a set-up that is as it should be, and finds each mistake that is planted in one,
//! and nothing else. Real files, real users, what a real nginx prints.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

use nodesockd_tests::{cli, http, program};

use crate::healthy_host::{HealthyHost, give, mode, user};

#[test]
fn healthy_host_has_no_findings() {
    let Some(host) = HealthyHost::new(|app| app) else { return };
    let _daemon = host.start();
    host.has_no_findings();
}

#[test]
fn healthy_host_with_printed_unit_has_no_findings() {
    let change = |app: nodesockd_tests::App| app.set("options.listen", "daemon").standby(1);
    let Some(mut host) = HealthyHost::new(change) else { return };
    let _daemon = host.start();
    let printed = host.app.cli(&["service", "systemd", "--user", "nobody"]);
    assert_eq!(printed.code, 0, "{printed}");
    host.unit = printed.stdout;
    host.has_no_findings();
}

#[test]
fn mistakes_in_the_unit_are_found() {
    let Some(mut host) = HealthyHost::new(|app| app) else { return };
    let _daemon = host.start();
    let healthy = host.unit.clone();
    let folder = host.app.folder().display().to_string();
    let set = |line: &str, with: &str| {
        assert!(healthy.contains(line), "{line}");
        healthy.replace(line, with)
    };
    let mistakes = [
        (
            "no KillMode",
            set("KillMode=process\n", ""),
            vec!["KillMode=control-group", "KillMode=process, in"],
        ),
        ("another KillMode", set("KillMode=process", "KillMode=mixed"), vec!["KillMode=mixed"]),
        ("no OOMPolicy", set("OOMPolicy=continue\n", ""), vec!["OOMPolicy=stop", "OOMPolicy=continue, in"]),
        ("little time to stop", set("=90", "=20"), vec!["kills the daemon 20 s after", "TimeoutStopSec=70"]),
        ("nobody restarts it", set("Restart=always\n", ""), vec!["nobody starts another", "Restart=always"]),
        (
            "no command",
            set("nodesockd daemon", "nodesockd"),
            vec!["lacks the command `daemon`", "nodesockd daemon"],
        ),
        (
            "a relative path",
            set(&format!("ExecStart={folder}/"), "ExecStart=node_modules/.bin/"),
            vec!["refuses `ExecStart=node_modules/.bin/nodesockd`", "whole path"],
        ),
        ("a /tmp of its own", format!("{healthy}PrivateTmp=yes\n"), vec!["PrivateTmp", "/run/app"]),
    ];
    for (what, unit, said) in mistakes {
        host.unit = unit;
        host.finds(what, "service", &said);
    }
    let path = std::env::var("PATH").unwrap();
    host.unit = set(&format!("PATH={path}"), "PATH=/nowhere");
    host.finds(
        "Node is not in the service's PATH",
        "app",
        &["`node` is not found in /nowhere", "whole path"],
    );
    host.unit = String::new();
    host.finds("no unit at all", "service", &["no systemd unit runs this app", "nodesockd service systemd"]);
    host.unit = healthy;
    host.has_no_findings();
}

#[test]
fn mistakes_in_configuration_and_app_are_found() {
    let Some(mut host) = HealthyHost::new(|app| app) else { return };
    let _daemon = host.start();
    let healthy = host.app.read("nodesockd.toml");
    let add = |line: &str| host.app.write("nodesockd.toml", &format!("{line}\n{healthy}"));

    add("worker = 2");
    host.finds("a slip of the pen", "configuration", &["unknown key `worker`", "did you mean `workers`"]);
    add(&format!("socketFile = \"{}.{{worker}}.sock\"", "x".repeat(80)));
    host.finds("a long path", "configuration", &["107"]);
    host.app.write("nodesockd.toml", &healthy.replace("app.js", "dist/app.js"));
    let said = host.doctor().findings.concat();
    assert!(said.contains("app: there is no script") && said.contains("build the app first"), "{said}");

    program::write_script(&host.app.path("old-node"), "#!/bin/sh\necho v16.20.2\n");
    add("node = \"./old-node\"");
    host.finds("an old Node", "app", &["is Node v16.20.2, which is too old", "install Node 18"]);
    add("node = \"node-22\"");
    host.finds("no Node", "app", &["`node-22` is not found"]);
    host.app.write("nodesockd.toml", &format!("{healthy}stdout = \"log/shop.log\"\n"));
    host.finds("no folder for the log", "app", &["its folder does not exist", "mkdir -p"]);
    fs::create_dir(host.app.path("log")).unwrap();
    host.finds("a log of root's", "app", &["nobody may not write to `options.stdout`"]);
    host.app.write("nodesockd.toml", &format!("{healthy}ipcGroup = \"no-such-group\"\n"));
    host.finds("no such group", "app", &["there is no group `no-such-group`", "groupadd"]);
    host.app.write("nodesockd.toml", &healthy);

    mode(&host.app.path("app.js"), 0o600);
    give(&host.app.path("app.js"), "root");
    host.finds("a script of root's", "app", &["cannot be read by nobody"]);
    host.owned("app.js");

    let manifest = host.app.read("node_modules/nodesockd/package.json");
    host.app.write("node_modules/nodesockd/package.json", &manifest.replace("\"3.0.0\"", "\"2.1.3\""));
    host.finds(
        "an old library",
        "app",
        &["is 2.1.3: without `nodesockd.listen()`", "npm install nodesockd@3"],
    );
    host.app.write("node_modules/nodesockd/package.json", &manifest.replace("\"3.0.0\"", "\"3.9.0\""));
    host.finds("a library from the future", "app", &["is 3.9.0, newer than", "restart --upgrade"]);
    host.app.write("node_modules/nodesockd/package.json", &manifest);
    fs::rename(host.app.path("node_modules"), host.app.path("elsewhere")).unwrap();
    host.finds("no library", "app", &["there is no node_modules/nodesockd", "npm install nodesockd"]);
    fs::rename(host.app.path("elsewhere"), host.app.path("node_modules")).unwrap();
    host.app.change("workers", 3);
    host.app.save();
    let said = host.doctor().findings.concat();
    assert!(said.contains("daemon: the daemon serves 2 slots, `workers` is 3"), "{said}");
    assert!(said.contains("nginx: upstream `app`") && said.contains("does not name slot 2"), "{said}");
    host.app.change("workers", 2);
    host.app.save();
    host.has_no_findings();
}

#[test]
fn closed_paths_to_the_sockets_are_found() {
    let Some(host) = HealthyHost::new(|app| app) else { return };
    let _daemon = host.start();
    let run = host.app.run();
    let change = |uid: Option<u32>, gid: Option<u32>| {
        chown(&run, uid, gid).unwrap();
        mode(&run, 0o2750);
    };
    let (nobody, nginx, daemon) = (user("nobody"), user("www-data"), user("daemon"));

    mode(&run, 0o750);
    host.finds(
        "no setgid bit",
        "tmpDir",
        &["no setgid bit: sockets in it belong to the group nogroup", "chmod g+s"],
    );
    mode(&run, 0o700);
    host.finds(
        "closed",
        "tmpDir",
        &["www-data, may not enter `tmpDir`", "mode 700", "chown nobody:www-data"],
    );
    mode(&run, 0o2777);
    host.finds(
        "open to everybody",
        "tmpDir",
        &["others may create and rename files in it", "chmod u=rwx,g=rxs,o="],
    );
    change(None, Some(nobody.gid.as_raw()));
    host.finds("another group", "tmpDir", &["may not enter `tmpDir`", "chown nobody:www-data", "chmod 2750"]);
    change(Some(daemon.uid.as_raw()), Some(nginx.gid.as_raw()));
    host.finds("another owner", "tmpDir", &["it belongs to user 1, the daemon runs as user 65534"]);
    change(Some(nobody.uid.as_raw()), Some(nginx.gid.as_raw()));

    mode(host.app.folder(), 0o700);
    host.finds(
        "a closed folder on the way",
        "tmpDir",
        &["may not pass through", "mode 700 of nobody", "chmod o+x"],
    );
    mode(host.app.folder(), 0o755);

    let socket = fs::canonicalize(host.app.link(1)).unwrap();
    mode(&socket, 0o755);
    host.finds("a socket with another umask", "tmpDir", &["socket of slot 1, mode 755", "umask"]);
    mode(&socket, 0o770);

    // Someone who prefers access control lists.
    mode(&run, 0o700);
    chown(&run, None, Some(nobody.gid.as_raw())).unwrap();
    let list =
        Command::new("setfacl").args(["-m", "u:www-data:x", "-m", "d:u:www-data:rw"]).arg(&run).status();
    if list.is_ok_and(|status| status.success()) {
        host.has_no_findings();
        assert!(Command::new("setfacl").arg("-b").arg(&run).status().unwrap().success());
    }
    change(None, Some(nginx.gid.as_raw()));
    host.has_no_findings();
}

#[test]
fn leftovers_are_found() {
    let Some(host) = HealthyHost::new(|app| app) else { return };
    let _daemon = host.start();
    let run = host.app.run();
    let stale = run.join("app.3f2a1c9e-5b7d-4e8f-9a0b-1c2d3e4aaaa1.sock");
    drop(UnixListener::bind(&stale).unwrap());
    host.finds("a socket of a worker that is gone", "tmpDir", &["nobody listens on", "aaaa1.sock"]);
    fs::remove_file(&stale).unwrap();
    std::os::unix::fs::symlink("app.gone.sock", run.join("app.7.sock")).unwrap();
    host.finds("a link that leads nowhere", "tmpDir", &["nobody listens on", "app.7.sock"]);
    fs::remove_file(run.join("app.7.sock")).unwrap();
    fs::write(run.join("app.5.sock"), "").unwrap();
    host.finds("a file with a link's name", "tmpDir", &["app.5.sock is in the way", "rm "]);
    fs::remove_file(run.join("app.5.sock")).unwrap();
    host.has_no_findings();
}

#[test]
fn missing_daemon_is_found() {
    let port = http::Port::claim();
    let Some(host) = HealthyHost::new(|app| app.set("devServer", i64::from(port.number))) else { return };
    let mut daemon = host.start();
    host.has_no_findings();
    assert_eq!(host.app.cli(&["stop"]).code, 0);
    host.finds("nobody works", "daemon", &["no workers are running", "`nodesockd start`"]);
    assert_eq!(host.app.cli(&["start", "--suspended"]).code, 0);
    host.finds("a migration that was forgotten", "daemon", &["has been suspended for", "`nodesockd resume`"]);
    assert_eq!(host.app.cli(&["resume"]).code, 0);

    daemon.die();
    let said = host.doctor().findings.concat();
    assert!(
        said.contains("tmpDir: no daemon runs, but 2 workers do") && said.contains("takes them over"),
        "{said}"
    );
    assert!(said.contains("daemon: no daemon is running") && said.contains("`nodesockd daemon`"), "{said}");

    let config = host.app.read("nodesockd.toml");
    let port = config.lines().find_map(|line| line.strip_prefix("devServer = ")).unwrap().parse().unwrap();
    let _taken = std::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, port)).unwrap();
    let said = host.doctor().findings.concat();
    assert!(said.contains(&format!("cannot have port {port}")) && said.contains("another port"), "{said}");
}

#[test]
fn mistakes_in_nginx_are_found() {
    let Some(host) = HealthyHost::new(|app| app) else { return };
    let _daemon = host.start();
    let healthy = host.nginx.read("nginx.conf");
    let run = host.app.run().display().to_string();
    let server = |slot: u32| format!("server unix:{run}/app.{slot}.sock max_fails=0;");
    let both = format!("{} {}", server(1), server(2));
    let kept = "proxy_set_header Connection $app_connection;";
    let mistakes: &[(&str, &str, &str, &[&str])] = &[
        (
            "a slot is missing",
            &server(1),
            "",
            &["does not name slot 1", "add `server unix:", "app.1.sock max_fails=0;`"],
        ),
        ("a slot too many", &server(1), &both, &["nginx tries slot 2", "raise `workers`"]),
        (
            "another tmpDir",
            &run,
            "/run/shop",
            &["no `upstream` names a link in", "`app` names /run/shop/app.0.sock"],
        ),
        (
            "another folder for one slot",
            &server(1),
            &format!("{} server unix:/run/app.1.sock max_fails=0;", server(1)),
            &["/run/app.1.sock is not in ", "where the links are"],
        ),
        ("failures are counted", " max_fails=0", "", &["avoids a slot for ten seconds", "add `max_fails=0`"]),
        ("a slot is down", &server(1), &server(1).replace(";", " down;"), &["marked `down`"]),
        ("HTTP/1.0", "proxy_http_version 1.1;", "", &["in spite of `keepalive`", "proxy_http_version 1.1;"]),
        ("connections are closed", kept, "", &["in spite of `keepalive`", "Connection"]),
        (
            "connections are kept too long",
            "keepalive_timeout 5s",
            "keepalive_timeout 75s",
            &["keeps idle connections for 1 min, but workers close them after 1 min", "keepalive_timeout 5s"],
        ),
        (
            "longer than workers have",
            "keepalive_timeout 5s",
            "keepalive_timeout 55s",
            &["`options.shutdownTimeout` of 50 s"],
        ),
        (
            "nothing is tried again",
            kept,
            &format!("{kept} proxy_next_upstream off;"),
            &["not tried at another", "error timeout"],
        ),
        (
            "everything is tried again",
            kept,
            &format!("{kept} proxy_next_upstream error non_idempotent;"),
            &["done twice"],
        ),
        (
            "nothing is passed on",
            "proxy_pass http://app;",
            "return 204;",
            &["nothing passes requests to upstream `app`"],
        ),
    ];
    for (what, from, to, said) in mistakes {
        host.nginx_says(from, to);
        host.finds(what, "nginx", said);
        host.nginx.write("nginx.conf", &healthy);
    }
    host.nginx_says("user www-data;", "user daemon;");
    host.finds("nginx is another user", "tmpDir", &["run by daemon, may not enter", "chown nobody:daemon"]);
    host.nginx_says("user daemon;", "user daemon www-data;");
    host.has_no_findings();
    host.nginx_says("user daemon www-data;", "user nobody nogroup;");
    host.has_no_findings();
    host.nginx_says("user nobody nogroup;", "nonsense;");
    host.finds(
        "nginx refuses its configuration",
        "nginx",
        &["unknown directive \"nonsense\"", "doctor --nginx -"],
    );
}

#[test]
fn short_keep_alive_of_workers_is_found() {
    let Some(host) = HealthyHost::new(|app| app.script("echo.js").env("INTEGRATION", "by hand")) else {
        return;
    };
    let _daemon = host.start();
    // Node's own five seconds are no longer than those of nginx.
    host.finds(
        "the app sets no time-out",
        "nginx",
        &["for 5.0 s, but workers close them after 5.0 s", "is lost"],
    );
}

#[test]
fn missing_kernel_features_are_found() {
    let Some(mut host) = HealthyHost::new(|app| app) else { return };
    let _daemon = host.start();
    let healthy = host.around.clone();
    let poor = "unshare --net sh -ec 'echo 128 > /proc/sys/net/core/somaxconn; exec \"$@\"' sh";
    host.around =
        [&["sh", "-ec", &format!("exec {poor} \"$@\""), "sh"].map(str::to_owned)[..], &healthy].concat();
    host.finds(
        "a short queue",
        "kernel",
        &["lets 128 connections wait", "sysctl -w net.core.somaxconn=4096"],
    );
    // The first message that is sent is to the daemon. Those after it are to the kernel.
    let blind = ["strace", "-qq", "-o", "/dev/null", "-e", "inject=sendto:error=ENOENT:when=2+"];
    host.around = [&blind.map(str::to_owned)[..], &healthy].concat();
    host.finds("no unix_diag", "kernel", &["does not tell accept queues", "`unix_diag`"]);
}

#[test]
fn tmp_dir_inside_the_release_is_found() {
    let Some(host) = HealthyHost::new(|app| app) else { return };
    let current = tempfile::tempdir().unwrap();
    let link = current.path().join("current");
    std::os::unix::fs::symlink(host.app.folder(), &link).unwrap();
    let output = cli::run(&link, &["doctor", "--json"]);
    assert!(output.stdout.contains("where that symlink is switched to another release"), "{output}");
}

#[test]
fn daemon_running_as_root_is_found() {
    let Some(mut host) = HealthyHost::new(|app| app) else { return };
    host.unit = host.unit.replace("User=nobody\n", "");
    give(host.app.folder(), "root");
    chown(host.app.run(), None, Some(user("www-data").gid.as_raw())).unwrap();
    mode(&host.app.run(), 0o2750);
    let daemon = host.app.start();
    host.finds("root", "service", &["the daemon runs as root", "`User=` in the unit"]);
    drop(daemon);
}

#[test]
fn report_is_readable() {
    let app = nodesockd_tests::App::new();
    app.save();
    fs::set_permissions(app.run(), PermissionsExt::from_mode(0o777)).unwrap();
    let dump: &Path = &app.path("nginx.dump");
    fs::write(dump, "user nobody;\n").unwrap();
    let output = app.cli(&["doctor", "--nginx", "nginx.dump"]);
    assert_eq!((output.code, output.stderr.as_str()), (3, ""), "{output}");
    assert!(output.stdout.starts_with("configuration\n  ✓ the configuration is valid"), "{output}");
    assert!(output.stdout.contains("\n\nnginx\n  ✗ nginx does not pass requests to this app"), "{output}");
    assert!(output.stdout.ends_with("to think about.\n") && !output.stdout.contains('\x1b'), "{output}");
}

//! The image of the example, built as its Dockerfile says: every instruction is carried out, the commands of `RUN` in the image.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use nodesockd_tests::program::{self, root};
use nodesockd_tests::{app, wait};
use tempfile::TempDir;

use crate::host::Host;

/// The folder of the example.
pub fn example() -> PathBuf {
    root().join("examples/container")
}

/// A root file system, and what is run in it. Its `/usr` is that of this machine, all else is its own.
#[derive(Debug)]
pub struct Image {
    pub root: PathBuf,
    pub workdir: String,
    pub user: String,
    pub command: Vec<String>,
}

/// An image, as long as somebody needs it.
#[derive(Debug)]
pub struct Built {
    pub image: Image,
    _folder: TempDir,
}

impl Image {
    /// The base: a system with these users.
    pub fn base(folder: &Path, users: &[(&str, u32, u32)]) -> Self {
        for name in ["usr", "etc", "proc", "sys", "dev", "tmp", "run", "srv", "var", "root"] {
            fs::create_dir_all(folder.join(name)).unwrap();
        }
        fs::set_permissions(folder, PermissionsExt::from_mode(0o755)).unwrap();
        fs::set_permissions(folder.join("tmp"), PermissionsExt::from_mode(0o1777)).unwrap();
        for name in ["bin", "sbin", "lib", "lib64"] {
            symlink(Path::new("usr").join(name), folder.join(name)).unwrap();
        }
        let (mut passwd, mut groups) =
            (vec!["root:x:0:0::/root:/bin/sh".to_owned()], vec!["root:x:0:".to_owned()]);
        for (name, uid, gid) in users {
            passwd.push(format!("{name}:x:{uid}:{gid}::/nonexistent:/usr/sbin/nologin"));
            groups.push(format!("{name}:x:{gid}:"));
        }
        fs::write(folder.join("etc/passwd"), passwd.join("\n") + "\n").unwrap();
        fs::write(folder.join("etc/group"), groups.join("\n") + "\n").unwrap();
        Self { root: folder.to_owned(), workdir: "/".into(), user: "0:0".into(), command: Vec::new() }
    }

    /// What the example's Dockerfile makes, for all tests that run at a time; `None` where no container can run.
    pub fn of_example() -> Option<Arc<Built>> {
        static BUILT: Mutex<Weak<Built>> = Mutex::new(Weak::new());
        let mut last = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(built) = last.upgrade() {
            return Some(built);
        }
        let host = Host::start()?;
        let folder = tempfile::Builder::new().prefix("nsd-image-").tempdir_in("/tmp").unwrap();
        let image = Self::build(&host, folder.path(), &example());
        let built = Arc::new(Built { image, _folder: folder });
        *last = Arc::downgrade(&built);
        Some(built)
    }

    fn build(host: &Host, folder: &Path, context: &Path) -> Self {
        let packages = Packages::pack();
        let registry = Registry::start(&packages);
        let mut image = Self::base(folder, &[("node", 1000, 1000)]);
        for instruction in instructions(&fs::read_to_string(context.join("Dockerfile")).unwrap()) {
            let (name, rest) = instruction.split_once(' ').unwrap();
            match name {
                "FROM" => assert!(rest.starts_with("node:"), "{rest}"),
                "WORKDIR" => {
                    rest.clone_into(&mut image.workdir);
                    fs::create_dir_all(image.path(rest)).unwrap();
                }
                "COPY" => image.copy(context, rest),
                "RUN" => image.run(host, &registry, rest),
                "USER" => rest.clone_into(&mut image.user),
                "CMD" => image.command = serde_json::from_str(rest).unwrap(),
                _ => panic!("an instruction that is not known here: {instruction}"),
            }
        }
        image
    }

    /// What has the absolute path `inside` there.
    pub fn path(&self, inside: &str) -> PathBuf {
        self.root.join(inside.trim_start_matches('/'))
    }

    fn copy(&self, context: &Path, words: &str) {
        let words: Vec<&str> = words.split(' ').collect();
        let (to, from) = words.split_last().unwrap();
        for file in from {
            fs::copy(context.join(file), self.path(&self.workdir).join(to).join(file)).unwrap();
        }
    }

    fn run(&self, host: &Host, registry: &Registry, command: &str) {
        let mut build = host.command("unshare");
        build
            .args(["--mount", "--pid", "--fork", "--uts", "--ipc", "bash"])
            .arg(app::fixture("container.sh"));
        build.arg(&self.root).args(["build", "rw", "--", "/usr/bin/env", "-i", "-C", &self.workdir]);
        build.args(["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root"]);
        build.args([&format!("npm_config_registry={}", registry.address), "npm_config_fund=false"]);
        build.args(["npm_config_audit=false", "npm_config_update_notifier=false", "sh", "-euc", command]);
        let built = build.output().unwrap();
        assert!(built.status.success(), "RUN {command}: {}", String::from_utf8_lossy(&built.stderr));
    }
}

/// The instructions of a Dockerfile, each in one line.
fn instructions(text: &str) -> Vec<String> {
    let lines = text.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>().join("\n");
    let joined = lines.replace("\\\n", " ");
    joined.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

/// The packages of this repository, as they are published, with the program under test.
struct Packages(TempDir);

impl Packages {
    fn pack() -> Self {
        let folder = tempfile::Builder::new().prefix("nsd-npm-").tempdir_in("/tmp").unwrap();
        let mut pack = Command::new("node");
        pack.arg(root().join("node/scripts/pack.js")).arg("--out").arg(folder.path());
        let packed = pack.arg("--program").arg(program::nodesockd()).output().unwrap();
        assert!(packed.status.success(), "{}", String::from_utf8_lossy(&packed.stderr));
        Self(folder)
    }
}

/// Who has them for npm.
struct Registry {
    child: Child,
    address: String,
}

impl Registry {
    fn start(packages: &Packages) -> Self {
        let said = packages.0.path().join("address");
        let mut node = Command::new("node");
        node.arg(app::fixture("registry.mjs")).arg(packages.0.path()).stdin(Stdio::null());
        let child = node.stdout(fs::File::create(&said).unwrap()).spawn().unwrap();
        let address = || Some(fs::read_to_string(&said).ok()?.strip_suffix('\n')?.to_owned());
        let address = wait::found("the registry listens", address, String::new);
        Self { child, address }
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

//! Links and sockets in `tmpDir`.

use nodesockd_core::backend::Files;
use nodesockd_core::config::Symlinks;

use crate::bench::Bench;

#[tokio::test]
async fn a_link_is_swapped_and_withdrawn() {
    let mut bench = Bench::new();
    let link = bench.path("app.0.sock");
    bench.backend.publish("app.0.sock", "a", Symlinks::Relative).await.unwrap();
    assert_eq!(std::fs::read_link(&link).unwrap().to_str(), Some("a"));
    std::os::unix::fs::symlink("stale", bench.path(".app.0.sock.new")).unwrap();
    bench.backend.publish("app.0.sock", "b", Symlinks::Absolute).await.unwrap();
    assert_eq!(std::fs::read_link(&link).unwrap(), bench.path("b"));
    assert!(!bench.path(".app.0.sock.new").is_symlink());
    bench.backend.withdraw("app.0.sock").await.unwrap();
    bench.backend.withdraw("app.0.sock").await.unwrap();
    assert!(!link.is_symlink());
}

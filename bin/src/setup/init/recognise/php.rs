//! PHP: most of it needs no workers of ours.

use super::files::Files;
use super::{Guesses, Puzzle};

pub(super) fn look(files: &Files) -> Guesses {
    let composer = files.has_file("composer.json");
    if !composer && !files.has_file("index.php") && !files.has_file("public/index.php") {
        return Guesses::default();
    }
    let octane = files.text("composer.json").contains("\"laravel/octane\"");
    let (found, help) = if octane {
        (
            "Laravel Octane in composer.json, which starts a server of its own that listens on a port",
            "name that server as `command`, told to listen on the socket: with FrankenPHP a Caddyfile with \
             `bind unix/{$NODESOCKD_SOCKET_PATH}`, and `command = [\"frankenphp\", \"run\", \"--config\", \"Caddyfile\"]`",
        )
    } else {
        (
            "this is an app in PHP; under php-fpm, nginx serves it without workers of ours",
            "keep php-fpm; for a server of HTTP in PHP (FrankenPHP, RoadRunner, Swoole) name it as `command`, told to listen on `{socket}`",
        )
    };
    Puzzle::new(found, help).into()
}

//! Caddy: the site that is printed, and a configuration that is compared.

mod compare;
mod handlers;
mod print;
mod running;

use std::path::Path;

pub(super) use print::print;

use crate::exit::Failure;
use crate::setup::check::Finding;
use crate::setup::proxy::served::Served;

/// What Caddy does otherwise than a daemon serves: the one that runs, or a file of its configuration.
///
/// # Errors
///
/// Exit code 1: the configuration cannot be read; 3: it is none.
pub(super) async fn check(file: Option<&Path>, served: &Served) -> Result<Vec<Finding>, Failure> {
    let config = match file {
        Some(file) => running::given(file).await?,
        None => running::asked().await?,
    };
    Ok(compare::compare(&handlers::of(&config), served))
}

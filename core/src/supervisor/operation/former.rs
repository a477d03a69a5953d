//! The release that served before a suspension.

use crate::expiry::Ending;
use crate::history::Outcome;
use crate::release::Release;
use crate::supervisor::goal::Suspension;
use crate::supervisor::pool::Pool;
use crate::wire::{Code, Reply};

use super::{Requester, reply_to_all};

/// Answers that there is no release to go back to, if that is so and was asked for. `named`: the release that is to be suspended.
pub(super) fn refuse_without(
    pool: &mut Pool,
    suspension: Option<&Suspension>,
    named: Option<&Release>,
    requesters: &mut Vec<Requester>,
) -> bool {
    let refusal = suspension.and_then(|suspension| refusal(suspension, named));
    let refused = refusal.is_some();
    if let Some(words) = refusal {
        pool.ended(Outcome::Refused, Some(&words));
        reply_to_all(pool, std::mem::take(requesters), &Reply::failed(Some(Code::Usage), vec![words]));
    }
    refused
}

fn refusal(Suspension { former, expiry, .. }: &Suspension, named: Option<&Release>) -> Option<String> {
    let folders = |release: &Release| (release.dir.clone(), release.script_dir.clone());
    let another =
        former.as_ref().is_some_and(|former| named.is_none_or(|named| folders(named) != folders(former)));
    let goes_back = expiry.is_some_and(|expiry| expiry.then != Ending::Resume);
    (goes_back && !another).then(|| match former {
        Some(former) => format!(
            "`--then rollback` has nothing to go back to: {} served before, too; deploy into a folder of its own, or use \
             `--then resume`",
            former.dir.display()
        ),
        None => "`--then rollback` has nothing to go back to: no release has served; use `--then resume`"
            .to_owned(),
    })
}

//! The user's chapters, done as they say: every command as it stands there, on a machine of its own. Only root can boot
//! one; for others there is nothing to do.

mod commands;
mod quick_start;
mod setup;

use std::fmt::Write as _;

use nodesockd_tests::chapter::Block;

/// What a chapter shows, as a script: files are written to where they belong, commands are run.
fn script(blocks: &[Block<'_>]) -> String {
    let mut script = String::new();
    for block in blocks {
        match (block.kind, block.name) {
            (_, Some(name)) => {
                let _ = write!(script, "cat > {name} <<'END OF FILE'\n{}END OF FILE\n", block.text);
                if block.text.starts_with("#!") {
                    let _ = writeln!(script, "chmod +x {name}");
                }
            }
            ("shell", None) => script += &block.text,
            (_, None) => {}
        }
    }
    script
}

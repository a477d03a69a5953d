//! The named histories, as people read them. Review changes with `cargo insta review`.

use nodesockd_sim::{run, stories, trace};

#[test]
fn every_story_keeps_its_promises_and_reads_like_this() {
    for story in stories() {
        let outcome = trace(&story.scenario, &story.faults);
        insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
            insta::assert_snapshot!(story.name, outcome.trace);
        });
        assert_eq!(outcome.violation, None, "{}\n{}", story.name, outcome.trace);
        assert_eq!(run(&story.scenario, &story.faults).hash, outcome.hash, "{} again", story.name);
    }
}

//! `nodesockd doctor` where systemd runs, which knows more of a unit than its files say.

use nodesockd_tests::machine::Machine;

/// What an administrator may do to the unit of the chapter, and what is found then.
const MISTAKES: [(&str, &str); 4] = [
    ("printf '[Service]\\nKillMode=control-group\\n' > $unit.d/wrong.conf", "`KillMode=control-group`"),
    ("printf '[Service]\\nOOMPolicy=stop\\n' > $unit.d/wrong.conf", "`OOMPolicy=stop`"),
    ("printf '[Service]\\nRestart=no\\n' > $unit.d/wrong.conf", "nobody starts another daemon"),
    // The unit says nothing; systemd was told what that means.
    (
        "sed -i /OOMPolicy/d $unit; printf '[Manager]\\nDefaultOOMPolicy=kill\\n' > /etc/systemd/system.conf",
        "`OOMPolicy=kill`",
    ),
];

/// One thing is wrong after each mistake, nothing before and nothing when it is undone.
pub fn finds_what_is_wrong_with_the_unit(machine: &Machine) {
    let around = |script: &str| {
        machine.must(&format!(
            "unit=/etc/systemd/system/shop.service; mkdir -p $unit.d; {script}; systemctl daemon-reexec"
        ));
    };
    let doctor = || machine.run("cd /srv/shop/current; node_modules/.bin/nodesockd doctor");
    let healthy = || {
        let found = doctor();
        assert!(found.code == 0 && found.stdout.ends_with("\nEverything is as it should be.\n"), "{found}");
    };
    healthy();
    machine.must("cp -a /etc/systemd/system/shop.service /etc/systemd/system.conf /root");
    for (mistake, said) in MISTAKES {
        around(mistake);
        let found = doctor();
        let wrong = found.stdout.lines().filter(|line| line.contains(" ✗ ") || line.contains(" ! "));
        let wrong: Vec<&str> = wrong.collect();
        assert!(matches!(wrong.as_slice(), [one] if one.contains(said)), "{mistake}: {found}");
        around(
            "rm -f $unit.d/wrong.conf; cp -a /root/shop.service $unit; cp -a /root/system.conf /etc/systemd",
        );
    }
    healthy();
}

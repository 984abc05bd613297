//! Ports: free, or in use, and by whom.

use crate::doctor::{
    facts::{Listener, PortState},
    finding::{Area, Finding},
};

pub(super) fn findings(listeners: &[Listener]) -> Vec<Finding> {
    let mut findings: Vec<Finding> = listeners.iter().filter_map(problem).collect();
    findings.extend(twice(listeners));
    let named = |wanted: &PortState| -> Option<String> {
        let those = listeners.iter().filter(|listener| listener.state == *wanted);
        let named: Vec<String> = those
            .map(|listener| format!("{} ({})", listener.address.port(), listener.purpose))
            .collect();
        (!named.is_empty()).then(|| named.join(", "))
    };
    if let Some(free) = named(&PortState::Free) {
        findings.insert(0, Finding::ok(Area::Ports, "ports.free", format!("free: {free}")));
    }
    if let Some(running) = named(&PortState::Modash) {
        let what = format!("in use by the modash that runs: {running}");
        findings.insert(0, Finding::ok(Area::Ports, "ports.running", what));
    }
    findings
}

/// Each port is free, but not for two.
fn twice(listeners: &[Listener]) -> Option<Finding> {
    let number = |listener: &Listener| listener.address.port();
    let (first, second) = listeners.iter().enumerate().find_map(|(at, first)| {
        let same = |second: &&Listener| number(second) == number(first) && number(first) != 0;
        Some((first, listeners[at + 1..].iter().find(same)?))
    })?;
    let what =
        format!("port {} is set for {} and for {}", number(first), first.purpose, second.purpose);
    Some(
        Finding::mend(Area::Ports, "ports.twice", what)
            .why("only the first of them gets it, so modash does not start")
            .action(format!("choose another port with {} or {}", first.setting, second.setting)),
    )
}

fn problem(listener: &Listener) -> Option<Finding> {
    let Listener { purpose, setting, address, .. } = listener;
    const WHY: &str = "modash does not start unless it gets all of its ports";
    match &listener.state {
        PortState::Free | PortState::Modash => None,
        PortState::Taken(owner) => {
            let by = match owner {
                Some(owner) => format!("by {owner}"),
                None => "by another program".to_owned(),
            };
            let to = if *setting == "PORT" {
                format!("PORT={}", address.port().wrapping_add(100))
            } else {
                format!("{setting}={}:{}", address.ip(), address.port().wrapping_add(100))
            };
            Some(
                Finding::mend(
                    Area::Ports,
                    "ports.taken",
                    format!("port {} ({purpose}) is taken {by}", address.port()),
                )
                .why(WHY)
                .action(format!("stop that program, or choose another port, for example {to}")),
            )
        }
        PortState::Unusable(why) => Some(
            Finding::mend(Area::Ports, "ports.unusable", why.clone())
                .why(WHY)
                .action(format!("correct {setting}")),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::Level;

    fn listener(port: u16, state: PortState) -> Listener {
        let address = ([127, 0, 0, 1], port).into();
        Listener { purpose: "proxy", setting: "PORT", address, is_https: false, state }
    }

    #[test]
    fn a_taken_port_is_named_with_its_owner_and_the_setting() {
        let owner = Some("node (process 7)".to_owned());
        let found =
            findings(&[listener(4005, PortState::Taken(owner)), listener(1, PortState::Free)]);
        assert_eq!((found[0].check, found[0].level), ("ports.free", Level::Ok));
        assert_eq!(found[1].what, "port 4005 (proxy) is taken by node (process 7)");
        assert!(found[1].action.as_deref().unwrap().ends_with("PORT=4105"), "{found:?}");
    }

    #[test]
    fn a_port_for_two_listeners_is_to_be_mended() {
        let free = |port| listener(port, PortState::Free);
        let found = findings(&[free(4005), free(4006), free(4005)]);
        assert_eq!(found.last().map(|finding| finding.check), Some("ports.twice"));
        // Any free port is another one each time.
        assert_eq!(findings(&[free(0), free(0)]).len(), 1);
    }

    #[test]
    fn a_modash_that_runs_is_no_problem() {
        let found = findings(&[listener(4005, PortState::Modash)]);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].check, found[0].level), ("ports.running", Level::Ok));
    }
}

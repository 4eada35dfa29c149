//! What the SIP side shows of itself at `/metrics` (Prometheus text exposition format 0.0.4).

use std::fmt::Write;

use sip_protocol::Millis;

use super::engine::Engine;

impl Engine {
    pub fn metrics(&self, now: Millis) -> String {
        let counts = &self.counts;
        let mut text = String::new();
        let mut put = |name: &str, kind: &str, help: &str, value: u64| {
            // Writing to a string cannot fail.
            let _ = write!(
                text,
                "# HELP tandem_sip_{name} {help}\n# TYPE tandem_sip_{name} {kind}\ntandem_sip_{name} {value}\n"
            );
        };
        put("calls", "gauge", "Calls under way, ringing ones included.", self.calls.len() as u64);
        let transactions = self.transactions.len() as u64;
        put("transactions", "gauge", "SIP transactions under way.", transactions);
        for (name, help, value) in [
            ("calls_placed_total", "Calls that asked to be placed.", counts.placed),
            ("calls_answered_total", "Calls that were answered.", counts.answered),
            ("calls_refused_total", "Calls that were refused.", counts.refused),
            ("calls_ended_total", "Answered calls that a side ended.", counts.ended),
            ("calls_cut_total", "Calls that we ended.", counts.cut),
            ("malformed_total", "Messages that could not be read.", counts.malformed),
            ("unknown_sources_total", "Messages of nobody we know.", counts.unknown_sources),
            ("unverified_total", "Calls refused for want of a good signature.", counts.unverified),
            ("dropped_total", "Requests dropped in a flood.", counts.dropped),
        ] {
            put(name, "counter", help, value);
        }
        let mut gauge = |name: &str, help: &str, value: &dyn Fn(u32, bool) -> u32| {
            let _ =
                write!(text, "# HELP tandem_sip_{name} {help}\n# TYPE tandem_sip_{name} gauge\n");
            for (trunk, calls, is_open) in self.trunks.shown(now) {
                let value = value(calls, is_open);
                let trunk = trunk.replace('\\', "\\\\").replace('"', "\\\"");
                let _ = writeln!(text, "tandem_sip_{name}{{trunk=\"{trunk}\"}} {value}");
            }
        };
        gauge("trunk_calls", "Calls on the trunk.", &|calls, _| calls);
        gauge("trunk_open", "1 while a call could go there.", &|_, is_open| u32::from(is_open));
        text
    }
}

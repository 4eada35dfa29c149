//! Signs of life: switches are asked with OPTIONS.

use sip_protocol::{MessageWriter, Method, Millis, Name};
use tandem_domain::identifier::PeerId;

use super::engine::Engine;

impl Engine {
    pub(super) fn probe(&mut self, now: Millis) {
        for (peer, flow) in self.trunks.due_for_probe(now) {
            let sent_by = self.local.sent_by(&flow).as_bytes();
            let uri = format!("sip:{}", flow.remote);
            let from = format!("<sip:{}>;tag=", self.local.domain);
            let tag = self.transactions.tokens.token();
            let call_id =
                sip_protocol::dialog::new_call_id(&mut self.transactions.tokens, &self.local.host);
            let owner = u64::from(peer.number()) + 1;
            self.transactions.request(now, flow, sent_by, Method::Options, owner, |via, out| {
                let mut options = MessageWriter::request(out, Method::Options, uri.as_bytes());
                options.header(Name::Via, via);
                options.header(Name::MaxForwards, b"70");
                options.parts(b"From", &[from.as_bytes(), &tag]);
                options.parts(b"To", &[b"<", uri.as_bytes(), b">"]);
                options.header(Name::CallId, &call_id);
                options.cseq(1, Method::Options);
                options.finish(&[]);
            });
        }
    }
}

/// Probes are owned by their switch, in numbers that no call has.
pub(super) fn probe_of(owner: u64) -> Option<PeerId> {
    (1..=u64::from(u16::MAX) + 1).contains(&owner).then(|| PeerId::new((owner - 1) as u16))
}

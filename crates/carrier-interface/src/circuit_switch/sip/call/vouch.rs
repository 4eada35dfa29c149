//! Who calls, as the other side is told: From, P-Asserted-Identity, and who vouches for the number (RFC 8224).

use sip_protocol::{Message, Name};
use smallvec::SmallVec;
use stir_protocol::{Attestation, Claims, OriginationId, Party, Statement, Verdict};
use tandem_domain::digits::Digits;

use super::again::Way;
use super::{Call, Io};

impl Call {
    /// From and To of the B leg: who calls, as far as the other side may know.
    pub(super) fn parties(
        &self,
        io: &Io<'_>,
        invite: &Message<'_>,
        way: &Way,
    ) -> (Vec<u8>, Vec<u8>) {
        // Whom to trust with the number is told in P-Asserted-Identity (RFC 3323 section 4.1.1.3).
        let from = match (self.is_private(invite), self.number) {
            (true, _) => b"\"Anonymous\" <sip:anonymous@anonymous.invalid>".to_vec(),
            (false, Some(number)) => format!("<sip:+{number}@{}>", io.local.domain).into_bytes(),
            (false, None) if self.who.verdict.is_some() && self.who.is_shown => {
                self.judged_caller(io, way).unwrap_or_default()
            }
            (false, None) => {
                let from = invite.from();
                let user =
                    from.and_then(|from| from.parsed_uri()).map(|uri| uri.user_name().to_vec());
                let mut text = b"<sip:".to_vec();
                text.extend(
                    user.filter(|user| !user.is_empty()).unwrap_or_else(|| b"unknown".to_vec()),
                );
                text.extend_from_slice(format!("@{}>", io.local.domain).as_bytes());
                text
            }
        };
        let to = match way.route {
            Some(_) if self.is_emergency => format!("<sip:{}@{}>", self.called, way.flow.remote),
            Some(_) => format!("<sip:+{}@{};user=phone>", self.called, way.flow.remote),
            None => format!("<sip:+{}@{}>", self.called, io.local.domain),
        };
        (from, to.into_bytes())
    }

    /// A caller from outside, with what came of judging its number: `verstat` (TS 24.229 section 7.2A.20) for those who
    /// believe us, phones among them.
    fn judged_caller(&self, io: &Io<'_>, way: &Way) -> Option<Vec<u8>> {
        let (said, domain) = (self.who.said?, &io.local.domain);
        let believes = way.trusted || way.route.is_none();
        let verstat = self.who.verdict.filter(|_| believes).map(|verdict| verdict.verstat());
        let verstat = verstat.map(|verstat| format!(";verstat={verstat}")).unwrap_or_default();
        Some(format!("<sip:+{said}{verstat}@{domain};user=phone>").into_bytes())
    }

    /// Does the line, or who calls, keep the number to itself?
    fn is_private(&self, invite: &Message<'_>) -> bool {
        let wishes = ["id", "user", "header"];
        let mut asked = invite.elements(Name::Privacy);
        self.withholds_number
            || asked.any(|one| wishes.iter().any(|wish| one.eq_ignore_ascii_case(wish.as_bytes())))
    }

    /// P-Asserted-Identity towards switches that we trust (RFC 3325), and whether it is private.
    pub(super) fn asserted(
        &self,
        io: &Io<'_>,
        invite: &Message<'_>,
        way: &Way,
    ) -> Option<(Vec<u8>, bool)> {
        if !way.trusted {
            return None;
        }
        let hidden = self.is_private(invite);
        let identity = match self.number {
            Some(number) => format!("<sip:+{number}@{}>", io.local.domain).into_bytes(),
            None if !self.a.trusted => return None,
            None if self.who.verdict.is_some() && self.who.said.is_some() => {
                self.judged_caller(io, way)?
            }
            None => invite.header(Name::PAssertedIdentity)?.to_vec(),
        };
        Some((identity, hidden))
    }

    /// Identity headers: those that came, as long as they still say the truth; otherwise ours.
    pub(super) fn vouchers(
        &self,
        io: &Io<'_>,
        invite: &Message<'_>,
        way: &Way,
    ) -> SmallVec<[Vec<u8>; 2]> {
        let came = invite.all(Name::Identity).map(<[u8]>::to_vec);
        let mut vouchers: SmallVec<[Vec<u8>; 2]> = came.take(8).collect();
        let shown = self.number.or(self.who.said);
        let is_diverted = self.called != self.called_first;
        let is_hidden = self.is_private(invite) && !way.trusted;
        let is_false = self.who.verdict == Some(Verdict::Failed);
        if is_hidden || is_false || shown != self.who.said || (is_diverted && self.forwards == 0) {
            vouchers.clear();
        }
        let (Some(signer), Some(orig)) = (io.signer.filter(|_| way.is_signed_for), shown) else {
            return vouchers;
        };
        if is_hidden || self.is_emergency || (!vouchers.is_empty() && !is_diverted) {
            return vouchers;
        }
        let statement = if vouchers.is_empty() {
            Some(Statement::Shaken {
                attestation: self.attestation(),
                origination_id: origination_id(io, self.id),
            })
        } else {
            party(self.called_first).map(|from| Statement::Diverted { from })
        };
        let parties = (party(orig), party(self.called), statement);
        if let (Some(orig), Some(dest), Some(statement)) = parties {
            let issued_at_seconds = io.now.0 / 1000;
            let claims = Claims { orig, dest: vec![dest], issued_at_seconds, statement };
            // Without a signature the call still goes out, and is told from one that has it.
            vouchers.extend(signer.sign(&claims).ok().map(String::into_bytes));
        }
        vouchers
    }

    /// How far we vouch (RFC 8588 section 4): for our own lines and their numbers, or for where the call came in.
    fn attestation(&self) -> Attestation {
        match (self.number, self.own_number) {
            (Some(shown), Some(own)) if shown == own => Attestation::Full,
            (Some(_), _) => Attestation::Partial,
            (None, _) => Attestation::Gateway,
        }
    }
}

fn party(digits: Digits) -> Option<Party> {
    Party::number(&digits.to_string())
}

/// A UUID that names the call to who asks us about it, and tells others nothing.
fn origination_id(io: &Io<'_>, call: u64) -> OriginationId {
    let (high, low) = (io.transactions.tokens.keyed(&call.to_be_bytes()), io.now.0);
    let low = io.transactions.tokens.keyed(&[call.to_be_bytes(), low.to_be_bytes()].concat());
    OriginationId::of(high, low)
}

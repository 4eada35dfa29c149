//! What a request must satisfy whatever it is for: AVPs that are not understood may not be mandatory,
//! known ones must have a length of their type (RFC 6733 sections 4.1 and 7.1.5).

use crate::ResultCode;
use crate::avp::{Avp, Avps, DEPTH_MAX, FLAG_MANDATORY, FLAG_PROTECTED, FLAG_VENDOR};
use crate::code;
use crate::dictionary::{self, AvpType};
use crate::message::Message;
use crate::writer::FailedAvp;

/// How much a peer is forgiven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strictness {
    /// Reserved AVP flag bits are passed over.
    Lenient,
    Strict,
}

/// The first fault of the request, with the answer it deserves.
pub fn check<'a>(
    message: &Message<'a>,
    strictness: Strictness,
) -> Result<(), (ResultCode, FailedAvp<'a>)> {
    check_all(message.avps(), strictness, 0)
}

fn check_all<'a>(
    avps: Avps<'a>,
    strictness: Strictness,
    depth: usize,
) -> Result<(), (ResultCode, FailedAvp<'a>)> {
    for avp in avps {
        let avp = avp.map_err(|malformed| {
            (ResultCode::INVALID_AVP_LENGTH, FailedAvp::Malformed(malformed))
        })?;
        check_one(&avp, strictness, depth)?;
    }
    Ok(())
}

fn check_one<'a>(
    avp: &Avp<'a>,
    strictness: Strictness,
    depth: usize,
) -> Result<(), (ResultCode, FailedAvp<'a>)> {
    let failed = |result| Err((result, FailedAvp::Whole(*avp)));
    let reserved = avp.flags & !(FLAG_VENDOR | FLAG_MANDATORY | FLAG_PROTECTED);
    if reserved != 0 && strictness == Strictness::Strict {
        return failed(ResultCode::INVALID_AVP_BITS);
    }
    let Some(known) = dictionary::find(avp.code) else {
        return if avp.is_mandatory() { failed(ResultCode::AVP_UNSUPPORTED) } else { Ok(()) };
    };
    if !dictionary::fits(known.avp_type, avp.data.len()) {
        return failed(ResultCode::INVALID_AVP_LENGTH);
    }
    // What is inside these is the business of others (an agent's state, another node's complaint).
    let opaque = avp.code == code::PROXY_INFO || avp.code == code::FAILED_AVP;
    if known.avp_type != AvpType::Grouped || opaque {
        return Ok(());
    }
    if depth + 1 >= DEPTH_MAX {
        return failed(ResultCode::RESOURCES_EXCEEDED);
    }
    check_all(avp.members(), strictness, depth + 1)
}

//! One batch on the disk: a header with a checksum over everything, then the records.
//!
//! `magic 4 | payload length 4 | segment 8 | first sequence 8 | records 4 | crc 4`, little endian. The next one begins
//! at the segment's next block. The segment's number is part of it, so what a recycled file held before is never
//! taken for new.

pub(crate) const FRAME_HEADER: usize = 32;
const MAGIC: u32 = 0x544a_4652;

/// The head of a frame whose checksum holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub payload: usize,
    pub first: u64,
    pub records: u32,
}

impl Frame {
    pub fn len(&self) -> usize {
        FRAME_HEADER + self.payload
    }

    pub fn last(&self) -> u64 {
        self.first + u64::from(self.records) - 1
    }
}

/// Fills in the header of a frame whose payload stands behind it.
pub(crate) fn seal(bytes: &mut [u8], segment: u64, first: u64, records: u32) {
    let payload = u32::try_from(bytes.len() - FRAME_HEADER).expect("a batch is far below 4 GiB");
    bytes[0..4].copy_from_slice(&MAGIC.to_le_bytes());
    bytes[4..8].copy_from_slice(&payload.to_le_bytes());
    bytes[8..16].copy_from_slice(&segment.to_le_bytes());
    bytes[16..24].copy_from_slice(&first.to_le_bytes());
    bytes[24..28].copy_from_slice(&records.to_le_bytes());
    let crc = checksum(bytes);
    bytes[28..32].copy_from_slice(&crc.to_le_bytes());
}

fn checksum(frame: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&frame[..28]);
    hasher.update(&frame[FRAME_HEADER..]);
    hasher.finalize()
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

/// How long the frame that begins here says it is, if it begins like one of this segment's.
pub(crate) fn claimed_len(bytes: &[u8], segment: u64) -> Option<usize> {
    if u32_at(bytes, 0)? != MAGIC || u64_at(bytes, 8)? != segment {
        return None;
    }
    Some(FRAME_HEADER + u32_at(bytes, 4)? as usize)
}

/// The whole frame that begins here, if its checksum holds.
pub(crate) fn open(bytes: &[u8], segment: u64) -> Option<Frame> {
    claimed_len(bytes, segment)?;
    let payload = u32_at(bytes, 4)? as usize;
    let (first, records, crc) = (u64_at(bytes, 16)?, u32_at(bytes, 24)?, u32_at(bytes, 28)?);
    let frame = bytes.get(..FRAME_HEADER.checked_add(payload)?)?;
    (records > 0 && checksum(frame) == crc).then_some(Frame { payload, first, records })
}

/// Calls `each` with every record of a frame, in order. False when the lengths do not add up.
pub(crate) fn records(frame: &Frame, bytes: &[u8], mut each: impl FnMut(u64, &[u8])) -> bool {
    let Some(mut rest) = bytes.get(FRAME_HEADER..FRAME_HEADER + frame.payload) else {
        return false;
    };
    for sequence in frame.first..=frame.last() {
        let Some(length) = u32_at(rest, 0).map(|length| length as usize) else {
            return false;
        };
        let Some(record) = rest.get(4..4 + length) else {
            return false;
        };
        each(sequence, record);
        rest = &rest[4 + length..];
    }
    rest.is_empty()
}

//! Records that become durable together, laid out in memory as they will be on the disk.

use crate::frame::FRAME_HEADER;

/// Cleared and reused: after the first few batches nothing is allocated.
#[derive(Debug)]
pub struct Batch {
    /// Room for the frame header, then each record behind its length.
    bytes: Vec<u8>,
    records: u32,
}

impl Default for Batch {
    fn default() -> Batch {
        Batch { bytes: vec![0; FRAME_HEADER], records: 0 }
    }
}

impl Batch {
    pub fn new() -> Batch {
        Batch::default()
    }

    /// Adds the record that `write` appends to the buffer it is given.
    pub fn push(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 4]);
        write(&mut self.bytes);
        let length =
            u32::try_from(self.bytes.len() - start - 4).expect("a record is far below 4 GiB");
        self.bytes[start..start + 4].copy_from_slice(&length.to_le_bytes());
        self.records += 1;
    }

    pub fn len(&self) -> usize {
        self.records as usize
    }

    pub fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// Bytes of all records, with their lengths.
    pub fn byte_len(&self) -> usize {
        self.bytes.len() - FRAME_HEADER
    }

    pub fn clear(&mut self) {
        self.bytes.truncate(FRAME_HEADER);
        self.records = 0;
    }

    pub(crate) fn frame(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    pub(crate) fn records(&self) -> u32 {
        self.records
    }
}

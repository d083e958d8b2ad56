//! State files, with the checksums made right again so that what they guard is reached.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nckit::state::{ClassSums, Merge, Scatter};
use nckit::store::StateFile;

fuzz_target!(|data: &[u8]| {
    let mut sealed = data.to_vec();
    seal(&mut sealed);
    if let Ok(file) = StateFile::decode(&sealed)
        && file.shapes().is_ok()
    {
        // What an older version wrote is written anew.
        let renewed =
            |bytes: &[u8]| bytes[8..10] != sealed[8..10] && StateFile::decode(bytes).is_ok_and(|again| again == file);
        assert!(file.encode().is_ok_and(|bytes| bytes == sealed || renewed(&bytes)));
    }
    whole::<Scatter>(data);
    whole::<ClassSums>(data);
});

/// What is read is written as it was, or as this version writes it.
fn whole<S: Merge + PartialEq>(data: &[u8]) {
    if let Ok(state) = S::decode(data) {
        let renewed = |bytes: &[u8]| bytes[4..6] != data[4..6] && S::decode(bytes).is_ok_and(|again| again == state);
        assert!(state.encode().is_ok_and(|bytes| bytes == data || renewed(&bytes)));
    }
}

/// Makes all checksums right, as far as sections can be followed.
fn seal(bytes: &mut [u8]) {
    if bytes.len() < 14 {
        return;
    }
    let checksum = crc32(&bytes[..10]).to_le_bytes();
    bytes[10..14].copy_from_slice(&checksum);
    let mut at = 14;
    while let Some(length) = bytes.get(at + 4..at + 12) {
        let length = u64::from_le_bytes(length.try_into().unwrap_or_default());
        let Some(end) = usize::try_from(length).ok().and_then(|length| (at + 12).checked_add(length)) else { return };
        if end.checked_add(4).is_none_or(|end| end > bytes.len()) {
            return;
        }
        let checksum = crc32(&bytes[at..end]).to_le_bytes();
        bytes[end..end + 4].copy_from_slice(&checksum);
        at = end + 4;
    }
}

/// The checksum of gzip.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
    })
}

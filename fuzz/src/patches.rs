//! Small inputs for large accounts: bytes that say where a valid account is changed.

/// Changes `data` as `patches` says: a number of two bytes for the place, one that says
/// how many bytes follow, at most seven, or that the account ends there.
pub fn apply(data: &mut Vec<u8>, mut patches: &[u8]) {
    while let [low, high, kind, rest @ ..] = patches {
        let place = usize::from(u16::from_le_bytes([*low, *high]));
        if *kind == u8::MAX {
            data.truncate(place);
            patches = rest;
            continue;
        }
        let (bytes, rest) = rest.split_at(usize::from(kind % 8).min(rest.len()));
        if let Some(room) = data.get_mut(place..place + bytes.len()) {
            room.copy_from_slice(bytes);
        }
        patches = rest;
    }
}

//! What a computation hands over, and where its inputs come from.

/// Receives the values of a computation in order and digests them.
pub struct Transcript {
    limit: u32,
    outcome: Outcome,
}

/// The digest of a transcript.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Of all values within the limit.
    pub digest: u64,
    /// How many values there were within the limit.
    pub count: u32,
    /// The last of them; of bytes, their digest.
    pub last: u128,
}

impl Outcome {
    /// Length of [`Self::to_bytes`].
    pub const LEN: usize = 28;

    /// For return data.
    pub fn to_bytes(self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[..8].copy_from_slice(&self.digest.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.count.to_le_bytes());
        bytes[12..].copy_from_slice(&self.last.to_le_bytes());
        bytes
    }

    /// The inverse of [`Self::to_bytes`]. The runtime cuts zeros off the end of return
    /// data, so a shorter slice is filled up; `None` for a longer one.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut full = [0; Self::LEN];
        full.get_mut(..bytes.len())?.copy_from_slice(bytes);
        let (digest, rest) = full.split_first_chunk()?;
        let (count, last) = rest.split_first_chunk()?;
        Some(Self {
            digest: u64::from_le_bytes(*digest),
            count: u32::from_le_bytes(*count),
            last: u128::from_le_bytes(last.try_into().ok()?),
        })
    }
}

impl Transcript {
    /// Ignores what comes after `limit` values.
    pub fn new(limit: u32) -> Self {
        Self { limit, outcome: Outcome::default() }
    }

    /// The digest of what was recorded.
    pub fn finish(self) -> Outcome {
        self.outcome
    }

    /// Records one value.
    #[inline(never)]
    pub fn u64(&mut self, value: u64) {
        self.record(value, 0);
    }

    /// Records one value.
    #[inline(never)]
    pub fn u128(&mut self, value: u128) {
        self.record(value as u64, (value >> 64) as u64);
    }

    /// Records one value.
    pub fn i64(&mut self, value: i64) {
        self.u64(value as u64);
    }

    /// Records one value.
    pub fn i128(&mut self, value: i128) {
        self.u128(value as u128);
    }

    /// Records one value.
    pub fn bool(&mut self, value: bool) {
        self.u64(u64::from(value));
    }

    /// Records the bits of a number; all NaNs are alike, since their sign and payload
    /// differ from processor to processor.
    pub fn f64(&mut self, value: f64) {
        self.u64(if value.is_nan() { f64::NAN.to_bits() } else { value.to_bits() });
    }

    /// As [`Self::f64`].
    pub fn f32(&mut self, value: f32) {
        let bits = if value.is_nan() { f32::NAN.to_bits() } else { value.to_bits() };
        self.u64(u64::from(bits));
    }

    /// Records bytes as one value, their digest (64-bit FNV-1a).
    #[inline(never)]
    pub fn bytes(&mut self, bytes: &[u8]) {
        let digest = bytes.iter().fold(0xcbf2_9ce4_8422_2325, |digest: u64, byte| {
            (digest ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        self.record(digest, bytes.len() as u64);
    }

    /// Records a text as one value.
    pub fn str(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    fn record(&mut self, low: u64, high: u64) {
        if self.outcome.count == self.limit {
            return;
        }
        self.outcome.count += 1;
        self.outcome.last = u128::from(high) << 64 | u128::from(low);
        for word in [low, high] {
            let mixed = (self.outcome.digest ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            self.outcome.digest = mixed.rotate_left(29);
        }
    }
}

/// A sequence of pseudo-random numbers (SplitMix64), the same everywhere.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.u64() % bound
    }

    pub fn u128(&mut self) -> u128 {
        u128::from(self.u64()) << 64 | u128::from(self.u64())
    }

    /// Of any magnitude: a uniform number is nearly always a large one.
    pub fn sized_u64(&mut self) -> u64 {
        self.u64() >> self.below(64)
    }

    /// Of any magnitude.
    pub fn sized_u128(&mut self) -> u128 {
        self.u128() >> self.below(128)
    }
}

//! What a running `watch` was told, in one file, so that the same loop can be run over it
//! again: by [`watch::replay`](crate::watch::replay).
//!
//! The loop has no other inputs than these: what feeds tell and readers find, the moments
//! at which it acts, and one random number. [`told`] says what is recorded of a turn,
//! [`codec`] how it is spelled.
//!
//! The file begins with [`MAGIC`]; then come frames: the length of what follows (4 bytes),
//! a checksum over it and all before it (8 bytes), and so many bytes. The first frame is
//! the [`Header`] as JSON, every other holds whole turns. A file that ends within a frame
//! was cut off, by a killed process or a full disk, and holds as much as its whole frames;
//! a frame that does not belong to its checksum makes the file worthless.
//!
//! It is written on a thread of its own, which the loop never waits for. Keys and
//! endpoints are not in it; what is public on the chain is.

use std::{
    fs::{File, OpenOptions},
    io::{BufReader, ErrorKind, Read, Write},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
        mpsc::{self, Receiver, RecvTimeoutError, SyncSender},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tracing::{info, warn};

mod codec;
pub mod told;

use codec::{Eye, Lookup, Pen};
use told::{Told, Turn};

use crate::watch::time::Moment;

/// What the file begins with; the last byte is the version of its form.
pub const MAGIC: [u8; 8] = *b"klfrec\0\x02";
/// Bytes before a frame's own.
const FRAME_HEAD: usize = 12;
/// What a frame is written at, at the latest.
const FRAME_BYTES: usize = 256 * 1024;
const FRAME_TIME: Duration = Duration::from_secs(1);
/// Turns that may wait to be written.
const CAPACITY: usize = 4_096;

/// What a turn's place in a frame begins with.
const TURN: u8 = 1;
const END: u8 = 2;

/// What has to be known before the first turn.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Header {
    /// Version of the keeper that recorded.
    pub version: String,
    /// Address of the key that signed.
    pub keeper: String,
    /// That key was nobody's, and the cluster did not know it.
    pub stands_in: bool,
    pub markets: Vec<String>,
    pub lend_from: Vec<String>,
    /// Transactions were sent.
    pub sends: bool,
    /// Accounts came from a node, not from a fork.
    pub on_chain: bool,
    /// Updates were subscribed to.
    pub subscribes: bool,
    /// What klend that was, in words.
    pub klend: String,
    /// What choices that are left to chance were made with.
    pub seed: u64,
    /// Unix time of the beginning, milliseconds.
    pub began_ms: i64,
}

/// Why a recording ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The keeper stopped.
    Stopped = 0,
    /// The file became as large as it may.
    Full = 1,
    /// The disk did not keep up.
    Behind = 2,
}

impl End {
    #[must_use]
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Stopped => "the keeper stopped",
            Self::Full => "the file was as large as it may be",
            Self::Behind => "the disk did not keep up",
        }
    }
}

/// Numbers frames so that none can be left out, moved or bent unseen.
#[derive(Default)]
struct Chain([u8; 8]);

impl Chain {
    fn next(&mut self, frame: &[u8]) -> [u8; 8] {
        let digest = Sha256::new().chain_update(self.0).chain_update(frame).finalize();
        self.0.copy_from_slice(&digest[..8]);
        self.0
    }
}

/// The writing end.
pub struct Recorder {
    turns: Option<SyncSender<Turn>>,
    why: Arc<AtomicU8>,
    writer: Option<JoinHandle<()>>,
}

impl Recorder {
    /// Begins `path`, which must not be there, and lets it grow to `limit` bytes.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn start(path: &Path, header: &Header, limit: u64) -> Result<Self> {
        let writer = Writer::create(path, header, limit)?;
        let (turns, received) = mpsc::sync_channel(CAPACITY);
        let why = Arc::new(AtomicU8::new(End::Stopped as u8));
        let writer = {
            let why = Arc::clone(&why);
            let work = move || writer.run(&received, &why);
            thread::Builder::new().name("recorder".to_owned()).spawn(work)?
        };
        Ok(Self { turns: Some(turns), why, writer: Some(writer) })
    }

    /// Takes a turn. Where there is no room, the recording ends: a gap is worth nothing.
    pub fn take(&mut self, turn: Turn) {
        let Some(turns) = &self.turns else { return };
        match turns.try_send(turn) {
            Ok(()) => {}
            Err(mpsc::TrySendError::Full(_)) => {
                self.why.store(End::Behind as u8, Ordering::Relaxed);
                warn!(reason = End::Behind.describe(), "the recording ends");
                self.turns = None;
            }
            // Said by the thread.
            Err(mpsc::TrySendError::Disconnected(_)) => self.turns = None,
        }
    }
}

impl Drop for Recorder {
    /// What was taken is written first.
    fn drop(&mut self) {
        self.turns = None;
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

/// The file while it is written.
pub struct Writer {
    path: PathBuf,
    file: File,
    pen: Pen,
    chain: Chain,
    written: u64,
    limit: u64,
    last: Moment,
}

impl Writer {
    /// Begins a file.
    ///
    /// # Errors
    /// When it is there already, or cannot be written.
    pub fn create(path: &Path, header: &Header, limit: u64) -> Result<Self> {
        let shown = || format!("recording {}", path.display());
        let file = OpenOptions::new().write(true).create_new(true).open(path);
        let mut writer = Self {
            path: path.to_owned(),
            file: file.with_context(shown)?,
            pen: Pen::default(),
            chain: Chain::default(),
            written: 0,
            limit,
            last: Moment { since: Duration::ZERO, unix_ms: header.began_ms },
        };
        writer.file.write_all(&MAGIC).with_context(shown)?;
        writer.pen.text = serde_json::to_vec(header)?;
        writer.frame().with_context(shown)?;
        Ok(writer)
    }

    fn run(mut self, turns: &Receiver<Turn>, why: &AtomicU8) {
        let ended = self.write_all(turns, why);
        let path = self.path.display().to_string();
        match ended {
            Ok(end) => {
                let (bytes, reason) = (self.written, end.describe());
                if end == End::Stopped {
                    info!(path, bytes, "recorded");
                } else {
                    warn!(path, bytes, reason, "recorded until now, and no further");
                }
            }
            Err(reason) => {
                let reason = format!("{reason:#}");
                warn!(path, reason, "the recording broke off: what is whole of it can be replayed");
            }
        }
    }

    fn write_all(&mut self, turns: &Receiver<Turn>, why: &AtomicU8) -> Result<End> {
        let mut begun = Instant::now();
        loop {
            match turns.recv_timeout(FRAME_TIME) {
                Ok(turn) => self.turn(&turn),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    let behind = why.load(Ordering::Relaxed) == End::Behind as u8;
                    let end = if behind { End::Behind } else { End::Stopped };
                    self.end(end)?;
                    return Ok(end);
                }
            }
            if self.pen.text.len() >= FRAME_BYTES || begun.elapsed() >= FRAME_TIME {
                begun = Instant::now();
                if self.written + self.pen.text.len() as u64 > self.limit {
                    self.pen.text.clear();
                    self.end(End::Full)?;
                    return Ok(End::Full);
                }
                self.frame()?;
            }
        }
    }

    /// Spells a turn, which [`Writer::frame`] or [`Writer::end`] writes.
    pub fn turn(&mut self, turn: &Turn) {
        let pen = &mut self.pen;
        pen.text.push(TURN);
        for moment in [turn.begun, turn.heard] {
            let passed = moment.since.saturating_sub(self.last.since);
            pen.number(u64::try_from(passed.as_micros()).unwrap_or(u64::MAX));
            pen.signed(moment.unix_ms - self.last.unix_ms);
            self.last = moment;
        }
        pen.list(&turn.told, |pen, told| told.spell(pen));
    }

    /// Says that and why it is over.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn end(&mut self, why: End) -> Result<()> {
        self.frame()?;
        self.pen.text.extend([END, why as u8]);
        self.frame()?;
        Ok(self.file.sync_all()?)
    }

    /// Writes what was spelled.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn frame(&mut self) -> Result<()> {
        let frame = std::mem::take(&mut self.pen.text);
        if frame.is_empty() {
            return Ok(());
        }
        let len = u32::try_from(frame.len()).context("a frame of more than 4 GiB")?;
        let check = self.chain.next(&frame);
        // In one go: most of what is cut off is cut off whole.
        self.file.write_all(&[&len.to_le_bytes()[..], &check, &frame].concat())?;
        self.written += (FRAME_HEAD + frame.len()) as u64;
        Ok(())
    }
}

/// The reading end: turns, in their order.
pub struct Recording {
    pub header: Header,
    file: BufReader<File>,
    path: PathBuf,
    /// Bytes of the file, and of these read.
    bytes: u64,
    read: u64,
    chain: Chain,
    lookup: Lookup,
    frame: Vec<u8>,
    at: usize,
    last: Moment,
    /// Why it ended; `None` while it has not, or where it was cut off.
    pub ended: Option<End>,
    /// Bytes behind the last whole frame, where it was cut off.
    pub torn: Option<u64>,
}

impl Recording {
    /// Opens a file.
    ///
    /// # Errors
    /// When it is no recording, or one of another form.
    pub fn open(path: &Path) -> Result<Self> {
        let shown = || format!("recording {}", path.display());
        let file = File::open(path).with_context(shown)?;
        let bytes = file.metadata().with_context(shown)?.len();
        let mut file = BufReader::with_capacity(FRAME_BYTES, file);
        let mut magic = [0; MAGIC.len()];
        if let Err(error) = file.read_exact(&mut magic) {
            if error.kind() == ErrorKind::UnexpectedEof {
                bail!("{}: it is no recording of a keeper: {bytes} bytes", shown());
            }
            return Err(error).with_context(shown);
        }
        if magic[..7] != MAGIC[..7] {
            bail!("{}: it is no recording of a keeper", shown());
        }
        if magic[7] != MAGIC[7] {
            bail!("{}: it has form {}, this keeper reads {}", shown(), magic[7], MAGIC[7]);
        }
        let mut recording = Self {
            header: Header::default(),
            file,
            path: path.to_owned(),
            bytes,
            read: MAGIC.len() as u64,
            chain: Chain::default(),
            lookup: Lookup::default(),
            frame: Vec::new(),
            at: 0,
            last: Moment { since: Duration::ZERO, unix_ms: 0 },
            ended: None,
            torn: None,
        };
        if !recording.next_frame()? {
            bail!("{}: it was cut off before it began", shown());
        }
        recording.header = serde_json::from_slice(&recording.frame).with_context(shown)?;
        recording.last.unix_ms = recording.header.began_ms;
        recording.at = recording.frame.len();
        Ok(recording)
    }

    /// Reads the next frame; `false` where the file ends.
    fn next_frame(&mut self) -> Result<bool> {
        let left = self.bytes - self.read;
        let mut head = [0; FRAME_HEAD];
        let mut len = 0;
        let is_whole = left >= FRAME_HEAD as u64 && {
            self.file.read_exact(&mut head)?;
            len = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize;
            left >= (FRAME_HEAD + len) as u64
        };
        if !is_whole {
            self.torn = Some(left);
            return Ok(false);
        }
        self.frame.resize(len, 0);
        self.file.read_exact(&mut self.frame)?;
        if self.chain.next(&self.frame) != head[4..] {
            bail!("the frame at byte {} was changed: its checksum is another", self.read);
        }
        (self.read, self.at) = (self.read + (FRAME_HEAD + len) as u64, 0);
        Ok(true)
    }

    fn next_turn(&mut self) -> Result<Option<Turn>> {
        if self.ended.is_some() || self.torn.is_some() {
            return Ok(None);
        }
        while self.at == self.frame.len() {
            if !self.next_frame()? {
                return Ok(None);
            }
        }
        let text = &self.frame[self.at..];
        let mut eye = Eye::new(text, &mut self.lookup);
        match eye.byte()? {
            TURN => {}
            END => {
                self.ended = Some(match eye.byte()? {
                    0 => End::Stopped,
                    1 => End::Full,
                    2 => End::Behind,
                    other => bail!("it ended for reason {other}"),
                });
                if self.read < self.bytes || !eye.is_at_end() {
                    bail!("{} bytes stand behind its end", self.bytes - self.read + eye.left());
                }
                return Ok(None);
            }
            other => bail!("an entry of kind {other}"),
        }
        let mut moment = || -> Result<Moment> {
            let since = self.last.since.checked_add(Duration::from_micros(eye.number()?));
            let unix_ms = self.last.unix_ms.checked_add(eye.signed()?);
            let (since, unix_ms) = since.zip(unix_ms).context("a time beyond all time")?;
            self.last = Moment { since, unix_ms };
            Ok(self.last)
        };
        let (begun, heard) = (moment()?, moment()?);
        let told = eye.list(Told::read)?;
        self.at = self.frame.len() - usize::try_from(eye.left())?;
        Ok(Some(Turn { begun, heard, told }))
    }

    /// The time between its beginning and the turn that was read last.
    #[must_use]
    pub fn span(&self) -> Duration {
        self.last.since
    }
}

impl Iterator for Recording {
    type Item = Result<Turn>;

    fn next(&mut self) -> Option<Self::Item> {
        let turn = self.next_turn();
        turn.with_context(|| format!("recording {}", self.path.display())).transpose()
    }
}

#[cfg(test)]
mod tests {
    use solana_account::Account;
    use solana_address::Address;

    use super::{told::By, *};
    use crate::feeds::feed::{Update, Version};

    /// An update that has to be written whole.
    fn turn(number: u64) -> Turn {
        let since = Duration::from_micros(number * 1_000);
        let at = Moment { since, unix_ms: 1_795_564_800_000 + number as i64 };
        let data: Vec<u8> =
            (0..10_000_u64).map(|byte| ((byte + 1) * (number + 1) % 251) as u8).collect();
        let update = Update::Account {
            key: Address::new_from_array([7; 32]),
            version: Version::end_of(number),
            account: Account { lamports: 1, data, ..Account::default() },
        };
        Turn { begun: at, heard: at, told: vec![Told::Fed(By::Pools, update)] }
    }

    fn slots(recording: &mut Recording) -> Vec<u64> {
        let slot = |turn: Turn| match &turn.told[..] {
            [Told::Fed(By::Pools, Update::Account { version, account, .. })] => {
                let Told::Fed(_, Update::Account { account: known, .. }) =
                    &self::turn(version.slot).told[0]
                else {
                    panic!()
                };
                assert_eq!((turn.heard, account), (self::turn(version.slot).heard, known));
                version.slot
            }
            _ => panic!(),
        };
        recording.map(|turn| slot(turn.unwrap())).collect()
    }

    fn header() -> Header {
        Header { markets: vec!["m".to_owned()], began_ms: 5, ..Header::default() }
    }

    #[test]
    fn a_recording_is_read_as_it_was_taken() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("recording");
        let mut recorder = Recorder::start(&path, &header(), 1 << 30).unwrap();
        (0..100).for_each(|number| recorder.take(turn(number)));
        drop(recorder);
        assert!(Recorder::start(&path, &header(), 1).map(|_| ()).is_err(), "it is there");
        let mut recording = Recording::open(&path).unwrap();
        assert_eq!(recording.header, header());
        assert_eq!(slots(&mut recording), (0..100).collect::<Vec<_>>());
        assert_eq!((recording.ended, recording.torn), (Some(End::Stopped), None));
        assert_eq!(recording.span(), Duration::from_millis(99));
    }

    #[test]
    fn a_full_recording_ends_and_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("recording");
        let limit = 1 << 20;
        let mut recorder = Recorder::start(&path, &header(), limit).unwrap();
        (0..500).for_each(|number| recorder.take(turn(number)));
        drop(recorder);
        let mut recording = Recording::open(&path).unwrap();
        let read = slots(&mut recording);
        assert!((50..110).contains(&read.len()), "{}", read.len());
        assert_eq!((recording.ended, recording.torn), (Some(End::Full), None));
        assert!(std::fs::metadata(&path).unwrap().len() < limit + 100);
    }

    /// Cut off anywhere, what is whole of it is read; changed anywhere, it is refused.
    #[test]
    fn what_was_cut_off_or_changed_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("recording");
        let mut writer = Writer::create(&path, &header(), u64::MAX).unwrap();
        for number in 0..4 {
            writer.turn(&turn(number));
            writer.frame().unwrap();
        }
        writer.end(End::Stopped).unwrap();
        let whole = std::fs::read(&path).unwrap();
        let read = |bytes: &[u8]| -> Result<(usize, Option<u64>)> {
            std::fs::write(&path, bytes).unwrap();
            let mut recording = Recording::open(&path)?;
            let turns = recording.by_ref().collect::<Result<Vec<_>>>()?;
            Ok((turns.len(), recording.torn))
        };
        assert_eq!(read(&whole).unwrap(), (4, None));
        let mut last = 0;
        for len in (MAGIC.len() + 200..whole.len()).step_by(997).chain([whole.len() - 1]) {
            let (turns, torn) = read(&whole[..len]).unwrap();
            assert!(torn.is_some() && turns >= last, "{len}");
            last = turns;
        }
        assert_eq!(last, 4);
        for len in [0, 5, MAGIC.len(), MAGIC.len() + 20] {
            assert!(read(&whole[..len]).is_err(), "{len}");
        }
        for at in (0..whole.len()).step_by(1_009) {
            let mut bent = whole.clone();
            bent[at] ^= 0x20;
            let said = read(&bent);
            // A length that was changed reaches beyond the end, which is a torn file too.
            assert!(said.as_ref().is_err_and(|_| true) || said.is_ok_and(|of| of.1.is_some()));
        }
        let long = [&whole[..], &whole[MAGIC.len()..]].concat();
        let said = format!("{:#}", read(&long).unwrap_err());
        assert!(said.contains("stand behind its end"), "{said}");
        let mut newer = whole.clone();
        newer[7] = 9;
        assert!(format!("{:#}", read(&newer).unwrap_err()).contains("form 9"));
        assert!(format!("{:#}", read(b"SQLite format 3").unwrap_err()).contains("no recording"));
    }
}

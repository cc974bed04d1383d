//! One market on two programs, and the instructions that both get.

use std::collections::BTreeSet;

use super::*;

/// The same market under the stand-in and, when it is there, under klend.
#[derive(Clone)]
pub struct Twins {
    pub stand_in: Bed,
    pub real: Option<Bed>,
    /// Whether the real klend has the version that the stand-in follows.
    same_version: bool,
    pub failures: Vec<String>,
}

/// The version that the stand-in follows.
const STAND_IN_VERSION: &str = "1.25";
/// Versions that it can be held against for what they have in common.
const OLDER_VERSIONS: [&str; 2] = ["1.16", "1.24"];

/// Faults of which another one is found first since 1.25.
const ORDER_CHANGED: [&str; 1] = ["reserve stale and reserve stale, too"];

/// Whether `KLEND_VERSION` names the stand-in's version for the real klend.
/// Panics when it names none that is known: what could be compared is not known
/// then.
fn real_version_is_ours() -> bool {
    let named = std::env::var("KLEND_VERSION").unwrap_or_default();
    let ours = named == STAND_IN_VERSION;
    assert!(
        ours || OLDER_VERSIONS.contains(&named.as_str()),
        "KLEND_VERSION={named:?}: the klend of KLEND_ELF must be one of 1.16, 1.24 and 1.25",
    );
    ours
}

impl Twins {
    pub fn new() -> Option<Self> {
        let real = real_programs();
        let mut ours = stand_ins();
        match &real {
            // One farms program for both: klend is what is compared.
            Some(programs) => ours.farms.clone_from(&programs.farms),
            None => eprintln!("KLEND_ELF is not set: compared with recorded outcomes only"),
        }
        let same_version = real.is_none() || real_version_is_ours();
        Some(Self {
            stand_in: Bed::new(&ours)?,
            real: real.map(|programs| Bed::new(&programs).expect("the folder was there")),
            same_version,
            failures: Vec::new(),
        })
    }

    /// The same preparation on both sides.
    pub fn both(&mut self, prepare: impl Fn(&mut Bed)) {
        prepare(&mut self.stand_in);
        if let Some(real) = &mut self.real {
            prepare(real);
        }
    }

    /// The same transaction on both sides.
    pub fn send(
        &mut self,
        what: &str,
        expected: Outcome,
        build: impl Fn(&Bed) -> Vec<Instruction>,
    ) {
        let ours = self.stand_in.send(&build(&self.stand_in));
        if ours != expected {
            self.failures.push(format!("{what}: expected {expected:?}, stand-in {ours:?}"));
        }
        let Some(real) = &mut self.real else { return };
        let theirs = real.send(&build(real));
        if theirs != expected {
            self.failures.push(format!("{what}: expected {expected:?}, klend {theirs:?}"));
        }
        if ours == theirs {
            self.compare(what);
        }
        self.align();
    }

    /// The same transaction on both sides, without an expectation; returns how
    /// klend's ended, if klend is there.
    pub fn agree(
        &mut self,
        what: &str,
        build: impl Fn(&Bed) -> Vec<Instruction>,
    ) -> Option<Outcome> {
        let ours = self.stand_in.send(&build(&self.stand_in));
        let real = self.real.as_mut()?;
        let theirs = real.send(&build(real));
        if ours == theirs {
            self.compare(what);
        } else if self.same_version || !ORDER_CHANGED.contains(&what) {
            self.failures.push(format!("{what}: stand-in {ours:?}, klend {theirs:?}"));
        }
        self.align();
        Some(theirs)
    }

    pub fn compare(&mut self, what: &str) {
        let Some(real) = self.real.as_ref().filter(|_| self.same_version) else { return };
        let ours = self.stand_in.state();
        let theirs = real.state();
        for (name, ours) in &ours {
            let theirs = &theirs[name];
            let words: BTreeSet<usize> = (0..ours.len().max(theirs.len()))
                .filter(|&index| ours.get(index) != theirs.get(index))
                .map(|index| index / 8 * 8)
                .collect();
            for word in words {
                let read = |data: &[u8]| {
                    (data.get(word..))
                        .and_then(|tail| tail.first_chunk::<8>())
                        .map(|bytes| u64::from_le_bytes(*bytes))
                };
                self.failures.push(format!(
                    "{what}: {name} body offset {}: stand-in {:?}, klend {:?}",
                    word as i64 - BODY as i64,
                    read(ours),
                    read(theirs)
                ));
            }
        }
    }

    /// Gives the stand-in klend's accounts, so that one difference is reported
    /// once.
    pub fn align(&mut self) {
        let Some(real) = &self.real else { return };
        for (_, key) in real.watched() {
            if let Some(account) = real.svm.get_account(&address(&key)) {
                self.stand_in
                    .svm
                    .set_account(address(&key), account)
                    .expect("a valid account stays one");
            }
        }
    }

    /// A case that starts from here and leaves no trace but its failures.
    pub fn case(
        &mut self,
        what: &str,
        expected: Outcome,
        prepare: impl Fn(&mut Bed),
        build: impl Fn(&Bed) -> Vec<Instruction>,
    ) {
        let mut branch = self.clone();
        branch.failures.clear();
        branch.both(prepare);
        branch.send(what, expected, build);
        self.failures.append(&mut branch.failures);
    }

    /// The same about what came with 1.25: an older klend is not asked.
    pub fn newer_case(
        &mut self,
        what: &str,
        expected: Outcome,
        prepare: impl Fn(&mut Bed),
        build: impl Fn(&Bed) -> Vec<Instruction>,
    ) {
        let real = self.real.clone();
        self.leave_older_behind();
        self.case(what, expected, prepare, build);
        self.real = real;
    }

    /// Asks an older klend no more.
    pub fn leave_older_behind(&mut self) {
        self.real.take_if(|_| !self.same_version);
    }

    pub fn finish(self) {
        assert!(
            self.failures.is_empty(),
            "{} differences\n{}",
            self.failures.len(),
            self.failures.join("\n")
        );
    }

    pub fn open(&mut self, reserve: &'static Pubkey, amount: u64) {
        self.send("init obligation", Done, |bed| bed.init_obligation());
        self.deposit(reserve, amount);
    }

    pub fn deposit(&mut self, reserve: &'static Pubkey, amount: u64) {
        self.both(|bed| {
            let mint = bed.reserve(reserve).liquidity.mint_pubkey;
            let owner = bed.owner_key();
            bed.fund(&owner, &mint, amount);
        });
        if self.stand_in.reserve(reserve).farm_collateral != Pubkey::default() {
            self.send("init farm", Done, |bed| vec![bed.init_farm(reserve, 0)]);
        }
        self.send("deposit", Done, |bed| deposit(bed, reserve, amount));
    }

    pub fn borrow(&mut self, reserve: &'static Pubkey, amount: u64) {
        self.both(|bed| {
            let mint = bed.reserve(reserve).liquidity.mint_pubkey;
            let owner = bed.owner_key();
            bed.fund(&owner, &mint, 0);
        });
        self.send("borrow", Done, |bed| borrow(bed, reserve, amount));
    }

    /// 1000 SOL against 110,000 USDC, with an equipped liquidator.
    pub fn with_position() -> Option<Self> {
        let mut twins = Self::new()?;
        twins.open(SOL, 1_000 * LAMPORTS);
        twins.borrow(USDC, 110_000 * USDC_UNITS);
        twins.both(|bed| bed.equip_liquidator(USDC, SOL, 200_000 * USDC_UNITS));
        Some(twins)
    }

    /// A position and an owner with 100 SOL and some cTokens of SOL.
    pub fn with_ctokens() -> Option<Self> {
        let mut twins = Self::with_position()?;
        twins.both(|bed| {
            let owner = bed.owner_key();
            let sol = bed.reserve(SOL);
            bed.fund(&owner, &sol.liquidity.mint_pubkey, 100 * LAMPORTS);
            bed.fund(&owner, &sol.collateral.mint_pubkey, 0);
        });
        twins.send("deposit liquidity", Done, |bed| {
            vec![bed.refresh_reserve(SOL), bed.deposit_reserve_liquidity(SOL, 50 * LAMPORTS)]
        });
        Some(twins)
    }

    /// The same after SOL has lost 20 %.
    pub fn underwater() -> Option<Self> {
        let mut twins = Self::with_position()?;
        twins.both(|bed| bed.scale_prices(&[0, 52], 80, 100));
        Some(twins)
    }
}

pub fn deposit(bed: &Bed, reserve: &Pubkey, amount: u64) -> Vec<Instruction> {
    let mut all = bed.refresh_all(&[*reserve]);
    all.push(bed.deposit(reserve, amount));
    all
}

pub fn borrow(bed: &Bed, reserve: &Pubkey, amount: u64) -> Vec<Instruction> {
    let mut all = bed.refresh_all(&[*reserve]);
    all.push(bed.borrow(reserve, amount));
    all
}

/// USDC debt for SOL collateral, after all refreshes.
pub fn liquidate(bed: &Bed, amount: u64) -> Vec<Instruction> {
    liquidate_pair(bed, USDC, SOL, amount)
}

pub fn liquidate_pair(
    bed: &Bed,
    debt: &Pubkey,
    collateral: &Pubkey,
    amount: u64,
) -> Vec<Instruction> {
    let mut all = bed.refresh_all(&[]);
    all.push(bed.liquidate(debt, collateral, amount, 0));
    all
}

pub fn patch_u64(bed: &mut Bed, key: &Pubkey, offset: usize, value: u64) {
    bed.patch(key, offset, &value.to_le_bytes());
}

/// The smallest price that klend can hold: less than one unit is worth nothing.
fn lowest_price(bed: &mut Bed, entries: [usize; 2]) {
    let mut feed = bed.account(&SCOPE_FEED);
    for entry in entries {
        let at = 40 + 56 * entry;
        feed.data[at..at + 16].copy_from_slice(&[1u64, 18].map(u64::to_le_bytes).concat());
    }
    bed.svm.set_account(address(&SCOPE_FEED), feed).unwrap();
}

/// One cToken of SOL at the lowest price.
pub fn worthless_collateral(bed: &mut Bed) {
    lowest_price(bed, [0, 52]);
    let key = bed.obligation_key();
    patch_u64(bed, &key, obligation::DEPOSITED, 1);
}

/// One unit of USDC at the lowest price.
pub fn worthless_debt(bed: &mut Bed) {
    lowest_price(bed, [20, 62]);
    let key = bed.obligation_key();
    bed.patch(&key, obligation::BORROWED_SF, &bits(1.0));
}

pub fn now(bed: &Bed) -> u64 {
    bed.clock().unix_timestamp.unsigned_abs()
}

pub fn bits(value: f64) -> [u8; 16] {
    ((value * (1u64 << 60) as f64) as u128).to_le_bytes()
}

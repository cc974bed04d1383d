//! Prices that fall and rise, pools that follow them, and borrowers who go to their
//! limits.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use anyhow::{Context, Result};
use flash_liquidator_client::swap::{Amount, Side, Trade, stand_in::StandInPool};
use klend_fork::{Price, World};
use solana_address::Address;
use solana_instruction::Instruction;
use solana_keypair::Keypair;
use solana_signer::Signer;

use super::{
    Dice,
    referee::{Referee, Sight},
};
use crate::{
    chain::Chain,
    oracle::Oracle,
    positions::{Opening, held},
    scene::Scene,
};

/// SOL that one of the crowd deposits at a time, lamports.
const DEPOSIT: u64 = 50_000_000_000;
/// Most that klend lends on SOL, per cent; a little less is borrowed.
const MOST_LOAN_PERCENT: u64 = 64;
/// Least that anybody begins with.
const LEAST_LOAN_PERCENT: u64 = 54;
/// Highest and lowest price of SOL, basis points of the first.
const LEVELS: (u64, u64) = (7_200, 10_500);
/// Smallest and largest step of it.
const STEPS: (u64, u64) = (50, 400);
/// Pause between two steps.
const PAUSE: (Duration, Duration) = (Duration::from_millis(1_500), Duration::from_millis(4_000));
/// Turns that may fail in a row.
const MOST_FAILURES: usize = 20;
/// Borrowers who go to their limit at a time.
const MOST_BORROWERS: usize = 8;
/// Collateral below which an owner adds some, US dollars.
const LITTLE: f64 = 3_000.0;
/// What may be borrowed below which it is not worth it, US dollars.
const NOTHING: f64 = 150.0;

/// The market, and who acts in it.
pub struct Market<'a> {
    scene: &'a Scene,
    chain: Chain,
    oracle: &'a Oracle,
    world: World,
    base: Option<Price>,
    /// Price of SOL, basis points of the first; and where it goes.
    level: u64,
    target: u64,
    dice: Dice,
}

impl<'a> Market<'a> {
    /// Nothing is done yet.
    pub fn new(scene: &'a Scene, url: &str, oracle: &'a Oracle, seed: u64) -> Self {
        let world = scene.world.clone();
        let base = world.price(&scene.sol.reserve).ok();
        let (level, target) = (10_000, LEVELS.0);
        let dice = Dice::new(seed ^ 1);
        Self { scene, chain: Chain::new(url), oracle, world, base, level, target, dice }
    }

    fn opening(&self, number: usize) -> Opening {
        let scene = self.scene;
        let debt = if number.is_multiple_of(2) { scene.usdc } else { scene.pyusd };
        Opening { collateral: scene.sol, debt, deposited: DEPOSIT, borrowed: 0 }
    }

    /// Every obligation of the crowd, and the reserve that it owes to.
    pub fn obligations(&self) -> Vec<(Address, Address)> {
        let crowd = self.scene.crowd.iter().enumerate();
        crowd
            .map(|(number, owner)| {
                let opening = self.opening(number);
                (opening.obligation(&owner.pubkey()), opening.debt.reserve)
            })
            .collect()
    }

    /// Opens all positions.
    pub fn open(&mut self) -> Result<()> {
        let price = self.base.context("SOL has no price")?.to_f64();
        let mut steps: [Vec<(Vec<Instruction>, Vec<&Keypair>)>; 3] = Default::default();
        for (number, owner) in self.scene.crowd.iter().enumerate() {
            // What is adjusted by a borrow factor is below this.
            let percent =
                LEAST_LOAN_PERCENT + self.dice.below(MOST_LOAN_PERCENT - LEAST_LOAN_PERCENT);
            let borrowed = (DEPOSIT as f64 / 1e9 * price * 1e6) as u64 / 100 * percent;
            let opening = Opening { borrowed, ..self.opening(number) };
            for (all, one) in steps.iter_mut().zip(opening.steps(&owner.pubkey())) {
                all.push((one, vec![owner]));
            }
        }
        for (step, what) in steps.iter().zip(["obligations", "deposits", "borrows"]) {
            self.chain.send_each(step).context(what)?;
        }
        Ok(())
    }

    /// Gives SOL another price, in the oracle and in the pools at once.
    fn set_level(&mut self, level: u64, sight: &Sight) -> Result<()> {
        let price = self.base.and_then(|base| base.scaled(level, 10_000));
        let price = price.context("SOL has no price")?;
        if level == self.level {
            return Ok(());
        }
        let trades = self.arbitrage(price.to_f64(), sight)?;
        let (sol, signer) = (&self.scene.sol.reserve, &self.scene.arbitrageur);
        let signers = [signer];
        self.oracle.set_sol(&mut self.world, sol, &self.chain, price, &trades, &signers)?;
        self.level = level;
        Ok(())
    }

    /// What moves the pools to a price of SOL in US dollars.
    fn arbitrage(&self, price: f64, sight: &Sight) -> Result<Vec<Instruction>> {
        let trader = self.scene.arbitrageur.pubkey();
        let mut trades = Vec::new();
        let debts = [&self.scene.usdc, &self.scene.pyusd];
        for (at, (pool, debt)) in self.scene.pools.iter().zip(debts).enumerate() {
            if sight.paused[at] {
                continue;
            }
            let held_by_pool = sight.pools[at];
            let [sol, paid] = held_by_pool.map(|amount| amount as f64);
            // Units of debt for a lamport.
            let wanted = (sol * paid / (price * 1e6 / 1e9)).sqrt();
            let (sold, amount) =
                if wanted > sol { (0, wanted - sol) } else { (1, sol * paid / wanted - paid) };
            let sides = [&self.scene.sol, debt].map(|reserve| Side {
                account: held(&trader, reserve),
                mint: reserve.liquidity_mint,
                token_program: reserve.liquidity_token_program,
            });
            let trade = Trade {
                authority: trader,
                input: sides[sold],
                output: sides[1 - sold],
                amount: Amount::Exactly(amount as u64),
                min_out: 0,
                token: 0,
            };
            let sides = [0, 1].map(|side| (pool.mints[side], pool.token_programs[side]));
            let leg = StandInPool::new(&pool.pool, 0, sides).leg(&trade)?;
            let (program_id, accounts, data) = (leg.program, leg.accounts, leg.data);
            trades.push(Instruction { program_id, accounts, data });
        }
        Ok(trades)
    }

    /// Borrowers use what they have: those with little collateral add some, others borrow
    /// more. Not all of it succeeds: prices move, and keepers are faster.
    fn borrow(&mut self, sight: &Sight, most: usize) -> Result<usize> {
        let mut sent: Vec<(Vec<Instruction>, Vec<&Keypair>)> = Vec::new();
        let from = self.dice.below(sight.positions.len().max(1) as u64) as usize;
        for position in sight.positions[from..].iter().chain(&sight.positions[..from]) {
            let owner = &self.scene.crowd[position.number];
            let opening = self.opening(position.number);
            let borrows = if position.debt == 0 { vec![] } else { vec![opening.debt.reserve] };
            let key = owner.pubkey();
            if position.collateral < LITTLE {
                let deposits = [opening.collateral.reserve];
                let used = if position.collateral > 0.0 { &deposits[..] } else { &[] };
                sent.push((opening.deposits_more(&key, used, &borrows, DEPOSIT), vec![owner]));
            } else if position.capacity > NOTHING {
                let part = 0.5 + self.dice.below(45) as f64 / 100.0;
                let amount = (position.capacity * part * 1e6 / 1.3) as u64;
                sent.push((opening.borrows_more(&key, &borrows, amount), vec![owner]));
            }
            if sent.len() >= most {
                break;
            }
        }
        self.chain.begin(&sent)?;
        Ok(sent.len())
    }

    /// Prices move and borrowers borrow until it is over.
    pub fn live(&mut self, referee: &Referee, stop: &AtomicBool) -> Result<String> {
        let (mut moves, mut borrowed) = (0, 0);
        let mut failures = 0;
        while !stop.load(Ordering::Relaxed) {
            match self.turn(referee) {
                Ok(done) => {
                    (moves, failures) = (moves + 1, 0);
                    borrowed += done;
                }
                // The validator is busy, too.
                Err(error) if failures < MOST_FAILURES => {
                    failures += 1;
                    eprintln!("e2e: soak: the market did not move: {error:#}");
                }
                Err(error) => return Err(error.context("the market")),
            }
            thread::sleep(self.dice.between(PAUSE.0, PAUSE.1));
        }
        Ok(format!("{moves} prices, {borrowed} times somebody borrowed or deposited"))
    }

    /// One price, and borrowers after it; returns how many.
    fn turn(&mut self, referee: &Referee) -> Result<usize> {
        let sight = referee.look()?;
        let step = STEPS.0 + self.dice.below(STEPS.1 - STEPS.0);
        if self.level.abs_diff(self.target) <= step {
            self.target = LEVELS.0 + self.dice.below(LEVELS.1 - LEVELS.0);
        }
        let level = if self.target > self.level { self.level + step } else { self.level - step };
        self.set_level(level, &sight)?;
        self.borrow(&sight, MOST_BORROWERS)
    }

    /// Brings the market to where something is near to liquidation and nothing beyond.
    pub fn prepare(&mut self, referee: &Referee) -> Result<()> {
        let sight = referee.look()?;
        if self.level < LEVELS.0 + STEPS.1 || least(&sight).is_none_or(|health| health > 1.12) {
            self.set_level(10_000, &sight)?;
            for _ in 0..4 {
                let sight = referee.look()?;
                let sent = self.borrow(&sight, usize::MAX)?;
                thread::sleep(Duration::from_millis(1_200));
                if sent == 0 {
                    break;
                }
            }
        }
        let sight = referee.look()?;
        if let Some(health) = least(&sight).filter(|health| *health < 1.02) {
            // Up again, so that it is the fault that is met and not a race from before.
            let level = (self.level as f64 * 1.03 / health) as u64;
            self.set_level(level, &sight)?;
        }
        Ok(())
    }

    /// A price at which something can be liquidated; the slot from which on it can.
    pub fn opportunity(&mut self, referee: &Referee) -> Result<u64> {
        let sight = referee.look()?;
        let health = least(&sight).context("nobody owes anything")?;
        self.set_level((self.level as f64 * 0.985 / health) as u64, &sight)?;
        self.chain.slot()
    }
}

/// The lowest health factor.
fn least(sight: &Sight) -> Option<f64> {
    sight.positions.iter().map(|position| position.health).min_by(f64::total_cmp)
}

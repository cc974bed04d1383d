//! Whirlpools, made by their program.

use liquidation_venues::whirlpool;
use solana_address::{Address, address};

use crate::{
    chain::{ATA_PROGRAM, Chain, Dice, RENT, SYSTEM, TOKEN, call, key, named, pda, r, rs, w, ws},
    market::Market,
};

/// May make configurations: on mainnet, and of programs built for a local node.
const ADMINS: [Address; 2] = [
    address!("GwH3Hiv5mACLX3ufTw1pFsrhSPon5tdw252DBs4Rx4PV"),
    address!("tstYmkF9JHjZbSugJe1H3ygUTox1bqSxpn5QjxMwVrm"),
];
const CONFIG: Address = key(40);
const MEMO: Address = address!("MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr");
const TICKS: i32 = 88;

/// Makes the program's configuration.
pub fn start(chain: &mut Chain, program: Address) {
    let user = chain.user;
    let authorities = [user.as_ref(), user.as_ref(), user.as_ref(), &300u16.to_le_bytes()].concat();
    let admin = ADMINS.iter().find(|admin| {
        chain.fund(**admin);
        let accounts = vec![ws(CONFIG), ws(**admin), r(SYSTEM)];
        chain.send(&[call(program, "initialize_config", &[&authorities], accounts)]).is_ok()
    });
    let admin = admin.expect("nobody may make a configuration");
    // Token badges may be made.
    let feature = [0, 1];
    let accounts = vec![w(CONFIG), rs(*admin)];
    chain.must(call(program, "set_config_feature_flag", &[&feature], accounts));
    let extension = config_extension(&program);
    let accounts = vec![r(CONFIG), w(extension), ws(user), rs(user), r(SYSTEM)];
    chain.must(call(program, "initialize_config_extension", &[], accounts));
}

fn config_extension(program: &Address) -> Address {
    pda(program, &[b"config_extension", CONFIG.as_ref()])
}

/// What a random pool is like.
#[derive(Debug)]
pub struct Shape {
    pub adaptive: bool,
    pub spacing: u16,
    pub tick: i32,
}

impl Shape {
    pub fn random(dice: &mut Dice, adaptive: bool) -> Self {
        let spacing = [1, 2, 8, 64, 128][dice.range(0, 4) as usize];
        let tick = dice.range(-60_000, 60_000) as i32;
        Self { adaptive, spacing, tick }
    }
}

/// The square root of a tick's price, roughly.
pub fn sqrt_price(tick: i32) -> u128 {
    (1.0001f64.powf(f64::from(tick) / 2.0) * (1u128 << 64) as f64) as u128
}

/// Makes a pool with random positions.
pub fn pool(
    chain: &mut Chain,
    program: Address,
    dice: &mut Dice,
    number: u64,
    shape: &Shape,
) -> Market {
    let user = chain.user;
    let spacing = shape.spacing;
    let (mints, held, programs) = crate::market::tokens(chain, number, [TOKEN; 2]);
    let vaults = [named("vault a", number), named("vault b", number)];
    let price = sqrt_price(shape.tick).to_le_bytes();
    let tier = if shape.adaptive { 1024 + number as u16 } else { spacing };
    let fee_tier = pda(&program, &[b"fee_tier", CONFIG.as_ref(), &tier.to_le_bytes()]);
    let seeds: &[&[u8]] =
        &[b"whirlpool", CONFIG.as_ref(), mints[0].as_ref(), mints[1].as_ref(), &tier.to_le_bytes()];
    let pool = pda(&program, seeds);
    let badge = |mint: &Address| pda(&program, &[b"token_badge", CONFIG.as_ref(), mint.as_ref()]);
    let badges = [badge(&mints[0]), badge(&mints[1])];
    let fee = dice.range(0, 12_000) as u16;
    let creation = if shape.adaptive {
        let group = if spacing >= 8 && dice.chance(2) { spacing / 4 } else { spacing };
        let filter = dice.range(1, 60) as u16;
        let arguments = [
            &tier.to_le_bytes()[..],
            &spacing.to_le_bytes(),
            &[0; 32],
            &[0; 32],
            &fee.to_le_bytes(),
            &filter.to_le_bytes(),
            &(filter + dice.range(1, 600) as u16).to_le_bytes(),
            &(dice.range(1, 9_999) as u16).to_le_bytes(),
            &(dice.range(1, 99_999) as u32).to_le_bytes(),
            &(dice.range(10_000, 400_000) as u32).to_le_bytes(),
            &group.to_le_bytes(),
            &(dice.range(1, i64::from(group) * 3) as u16).to_le_bytes(),
        ]
        .concat();
        let accounts = vec![r(CONFIG), w(fee_tier), ws(user), rs(user), r(SYSTEM)];
        chain.must(call(program, "initialize_adaptive_fee_tier", &[&arguments], accounts));
        let accounts = vec![
            r(CONFIG),
            r(mints[0]),
            r(mints[1]),
            r(badges[0]),
            r(badges[1]),
            ws(user),
            rs(user),
            w(pool),
            w(pda(&program, &[b"oracle", pool.as_ref()])),
            ws(vaults[0]),
            ws(vaults[1]),
            r(fee_tier),
            r(programs[0]),
            r(programs[1]),
            r(SYSTEM),
            r(RENT),
        ];
        let arguments: &[&[u8]] = &[&price, &[0]];
        call(program, "initialize_pool_with_adaptive_fee", arguments, accounts)
    } else {
        if chain.svm.get_account(&fee_tier).is_none() {
            let arguments = [spacing.to_le_bytes(), fee.to_le_bytes()].concat();
            let accounts = vec![r(CONFIG), w(fee_tier), ws(user), rs(user), r(SYSTEM)];
            chain.must(call(program, "initialize_fee_tier", &[&arguments], accounts));
        }
        let accounts = vec![
            r(CONFIG),
            r(mints[0]),
            r(mints[1]),
            r(badges[0]),
            r(badges[1]),
            ws(user),
            w(pool),
            ws(vaults[0]),
            ws(vaults[1]),
            r(fee_tier),
            r(programs[0]),
            r(programs[1]),
            r(SYSTEM),
            r(RENT),
        ];
        let arguments: &[&[u8]] = &[&spacing.to_le_bytes(), &price];
        call(program, "initialize_pool_v2", arguments, accounts)
    };
    for (mint, badge) in mints.iter().zip(badges) {
        if chain.is_extended(mint) && chain.svm.get_account(&badge).is_none() {
            chain.wants_leave(creation.clone());
            let extension = config_extension(&program);
            let accounts =
                vec![r(CONFIG), r(extension), rs(user), r(*mint), w(badge), ws(user), r(SYSTEM)];
            chain.must(call(program, "initialize_token_badge", &[], accounts));
        }
    }
    chain.must(creation);

    let step = i32::from(spacing);
    let middle = shape.tick.div_euclid(step);
    let arrays = |tick: i32| tick.div_euclid(step * TICKS) * step * TICKS;
    let dynamic = dice.chance(2);
    for position in 0..dice.range(3, 24) as u64 {
        let reach = if position == 0 { 170 } else { dice.range(2, 160) };
        let lower = (middle - dice.range(0, reach) as i32) * step;
        let upper = lower + dice.range(1, reach * 2) as i32 * step;
        if lower < -443_000 || upper > 443_000 {
            continue;
        }
        let id = number * 1000 + position;
        let array = |tick: i32| {
            pda(&program, &[b"tick_array", pool.as_ref(), arrays(tick).to_string().as_bytes()])
        };
        for tick in [lower, upper] {
            if chain.svm.get_account(&array(tick)).is_none() {
                let accounts = vec![r(pool), ws(user), w(array(tick)), r(SYSTEM)];
                let start = arrays(tick).to_le_bytes();
                chain.must(if dynamic && dice.chance(2) {
                    call(program, "initialize_dynamic_tick_array", &[&start, &[0]], accounts)
                } else {
                    call(program, "initialize_tick_array", &[&start], accounts)
                });
            }
        }
        let mint = named("position", id);
        let (position, bump) =
            Address::find_program_address(&[b"position", mint.as_ref()], &program);
        let nft = pda(&ATA_PROGRAM, &[user.as_ref(), TOKEN.as_ref(), mint.as_ref()]);
        let accounts = vec![
            ws(user),
            r(user),
            w(position),
            ws(mint),
            w(nft),
            r(pool),
            r(TOKEN),
            r(SYSTEM),
            r(RENT),
            r(ATA_PROGRAM),
        ];
        let arguments: &[&[u8]] = &[&[bump], &lower.to_le_bytes(), &upper.to_le_bytes()];
        chain.must(call(program, "open_position", arguments, accounts));
        let accounts = vec![
            w(pool),
            r(programs[0]),
            r(programs[1]),
            r(MEMO),
            rs(user),
            w(position),
            r(nft),
            r(mints[0]),
            r(mints[1]),
            w(held[0]),
            w(held[1]),
            w(vaults[0]),
            w(vaults[1]),
            w(array(lower)),
            w(array(upper)),
        ];
        let liquidity = u128::from(dice.amount(1 << 44)).max(1 << 12).to_le_bytes();
        let most = u64::MAX.to_le_bytes();
        // No accounts for transfer hooks.
        let arguments: &[&[u8]] = &[&liquidity, &most, &most, &[0]];
        chain.must(call(program, "increase_liquidity_v2", arguments, accounts));
    }
    Market { pool, mints, held, programs, depth: 1 << 50 }
}

pub const PROGRAMS: [(&str, Address); 2] = [
    ("WHIRLPOOL_ELF", whirlpool::PROGRAM_ID),
    ("WHIRLPOOL_IMMUTABLE_ELF", whirlpool::IMMUTABLE_PROGRAM_ID),
];

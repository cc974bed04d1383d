//! Flash liquidations as this code builds them, with the accounts they are built from:
//! what the TypeScript client's are held against, byte for byte.

use anyhow::{Context, Result};
use flash_liquidator_client::{
    compute_budget::ComputeBudget,
    flash_liquidation::Refresh,
    receiver::{Intermediate, Redemption, Route, SwapLeg, Swept, Terms, swap_authority, sweep},
};
use klend_fork::{Position, Rehearsal, World};
use klend_model::keys::to_v2;
use serde_json::{Value, json};
use solana_address::Address;
use solana_instruction::{AccountMeta, Instruction};

/// All cases, and every account that one of them reads.
pub fn vectors() -> Result<Value> {
    let mut world = World::builtin()?;
    let [sol, jitosol, usdc, pyusd] = ["SOL", "JITOSOL", "USDC", "PYUSD"]
        .map(|symbol| world.reserve_named(symbol))
        .into_iter()
        .collect::<Result<Vec<_>, _>>()?
        .try_into()
        .map_err(|_| anyhow::anyhow!("four reserves"))?;
    let other_market = *world
        .reserves()?
        .iter()
        .find(|(key, reserve)| {
            **key != usdc
                && world.symbol(key).is_ok_and(|symbol| symbol == "USDC")
                && reserve.lending_market
                    != world.reserve(&usdc).map(|r| r.lending_market).unwrap_or_default()
        })
        .context("a second market that lends USDC")?
        .0;

    let mut open = |name, deposits: &[_], borrows: &[_], group| {
        let owner = world.actor(name);
        world.open_position(&owner, &Position::new(deposits, borrows).in_group(group))
    };
    let plain = open("plain", &[(sol, 10 * SOL)], &[(usdc, 100 * USD)], 0)?;
    let grouped = open(
        "grouped",
        &[(jitosol, 10 * SOL), (sol, 5 * SOL)],
        &[(pyusd, 100 * USD)],
        GROUP_PYUSD,
    )?;
    let referred = open("referred", &[(sol, 10 * SOL)], &[(pyusd, 50 * USD), (usdc, 50 * USD)], 0)?;
    let same_mint = open("same mint", &[(usdc, 200 * USD)], &[(usdc, 50 * USD)], 0)?;
    // Only one of the two reserves pays referrers: the order of the states matters.
    let market = world.obligation_addresses(&referred)?.lending_market;
    world.edit_lending_market(&market, |market| market.referral_fee_bps = 1_500)?;
    world.edit_reserve(&usdc, |reserve| reserve.config.protocol_take_rate_pct = 10)?;
    world.edit_reserve(&pyusd, |reserve| reserve.config.protocol_take_rate_pct = 0)?;
    world.edit_obligation(&referred, |obligation| obligation.referrer = to_v2(&key(77)))?;

    let mut cases = Vec::new();
    let mut case =
        |name, obligation, repay, withdraw, change: &dyn Fn(&mut Rehearsal)| -> Result<()> {
            let mut rehearsal =
                Rehearsal::new(&mut world, &key(1), &obligation, &repay, &withdraw, 40 * USD)?;
            rehearsal.compute_budget = ComputeBudget::default();
            rehearsal.refresh = Refresh::Batch;
            change(&mut rehearsal);
            cases.push(describe(&world, name, &rehearsal)?);
            Ok(())
        };
    case("no swap, everything left to defaults", plain, usdc, sol, &|_| ())?;
    case("two legs, an intermediate, a permissioner, terms", plain, usdc, sol, &|rehearsal| {
        rehearsal.terms = Terms {
            repay_amount: 12_345_678,
            min_collateral_received: 9_876_543_210,
            min_profit: -1_000,
            deadline_slot: 436_000_123,
            redemption: Redemption::AllowPartial,
        };
        rehearsal.route = Some(route(&rehearsal.keeper, Some(key(41))));
        rehearsal.refresh = Refresh::Each;
        rehearsal.permissioner = Some(key(42));
    })?;
    case("a loan from another market", plain, usdc, sol, &|rehearsal| {
        rehearsal.flash_reserve = other_market;
        rehearsal.route = Some(route(&rehearsal.keeper, None));
    })?;
    case("an elevation group and farms on both sides", grouped, pyusd, sol, &|_| ())?;
    case("a referrer, two debts", referred, usdc, sol, &|_| ())?;
    case("one mint on both sides", same_mint, usdc, usdc, &|_| ())?;

    let used = [plain, grouped, referred, same_mint, market];
    let reserves = world.reserves()?;
    let accounts: serde_json::Map<String, Value> = used
        .iter()
        .chain(reserves.keys())
        .map(|key| {
            let account = world.account(key).context("an account that was just used")?;
            let (owner, data) = (account.owner.to_string(), base64(&account.data));
            Ok((key.to_string(), json!({ "owner": owner, "data": data })))
        })
        .collect::<Result<_>>()?;
    let swept = [50, 52].map(|mint| Swept::associated(&key(1), &key(mint), &key(mint + 1)));
    let sweep = instruction(&sweep(&key(1), &swept));
    Ok(json!({ "accounts": accounts, "cases": cases, "sweep": sweep }))
}

const SOL: u64 = 1_000_000_000;
const USD: u64 = 1_000_000;
/// Elevation group of SOL and JitoSOL against PYUSD in the built-in fork.
const GROUP_PYUSD: u8 = 4;

fn key(byte: u8) -> Address {
    Address::new_from_array([byte; 32])
}

/// A route that nobody offers: the builder does not look at what is behind keys.
fn route(keeper: &Address, swap_debt: Option<Address>) -> Route {
    let leg = |input, amount_in_offset, program, data: &[u8]| SwapLeg {
        program: key(program),
        accounts: vec![
            AccountMeta::new_readonly(swap_authority(keeper).0, true),
            AccountMeta::new(key(program + 1), false),
            AccountMeta::new_readonly(key(program + 2), false),
        ],
        input,
        amount_in_offset,
        data: data.to_vec(),
    };
    Route {
        swap_collateral: key(40),
        swap_debt,
        intermediates: vec![Intermediate::new(keeper, &key(50), &key(51))],
        legs: vec![leg(0, Some(8), 60, &[7; 24]), leg(1, None, 70, &[1, 2, 3])],
    }
}

fn describe(world: &World, name: &str, rehearsal: &Rehearsal) -> Result<Value> {
    let Rehearsal { terms, route, .. } = rehearsal;
    Ok(json!({
        "name": name,
        "keeper": rehearsal.keeper.to_string(),
        "obligation": rehearsal.obligation.to_string(),
        "lendingMarket": world.obligation_addresses(&rehearsal.obligation)?.lending_market.to_string(),
        "repayReserve": rehearsal.repay_reserve.to_string(),
        "withdrawReserve": rehearsal.withdraw_reserve.to_string(),
        "flashReserve": rehearsal.flash_reserve.to_string(),
        "flashAmount": rehearsal.flash_amount.to_string(),
        "permissioner": rehearsal.permissioner.map(|key| key.to_string()),
        "refresh": if rehearsal.refresh == Refresh::Each { "each" } else { "batch" },
        "terms": {
            "repayAmount": terms.repay_amount.to_string(),
            "minCollateralReceived": terms.min_collateral_received.to_string(),
            "minProfit": terms.min_profit.to_string(),
            "deadlineSlot": terms.deadline_slot.to_string(),
            "redemption": format!("{:?}", terms.redemption),
        },
        "route": route.as_ref().map(|route| json!({
            "swapCollateral": route.swap_collateral.to_string(),
            "swapDebt": route.swap_debt.map(|key| key.to_string()),
            "intermediates": route.intermediates.iter().map(|token| json!({
                "mint": token.mint.to_string(),
                "tokenProgram": token.token_program.to_string(),
            })).collect::<Vec<_>>(),
            "legs": route.legs.iter().map(|leg| json!({
                "program": leg.program.to_string(),
                "accounts": leg.accounts.iter().map(meta).collect::<Vec<_>>(),
                "input": leg.input,
                "amountInOffset": leg.amount_in_offset,
                "data": base64(&leg.data),
            })).collect::<Vec<_>>(),
        })),
        "instructions": rehearsal.instructions(world)?.iter().map(instruction).collect::<Vec<_>>(),
    }))
}

fn instruction(instruction: &Instruction) -> Value {
    json!({
        "program": instruction.program_id.to_string(),
        "accounts": instruction.accounts.iter().map(meta).collect::<Vec<_>>(),
        "data": base64(&instruction.data),
    })
}

fn meta(meta: &AccountMeta) -> Value {
    json!({
        "address": meta.pubkey.to_string(),
        "signer": meta.is_signer,
        "writable": meta.is_writable,
    })
}

fn base64(bytes: &[u8]) -> String {
    use base64::{Engine, engine::general_purpose::STANDARD};
    STANDARD.encode(bytes)
}

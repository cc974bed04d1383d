//! What `obligation`, `reserve` and `market` say about owners' orders, the permissioner and
//! emergencies, by klend's version.

use klend_fork::World;
use klend_model::{constants::permissioned_ops, fraction::Fraction, keys::to_v2};
use serde_json::{Value, json};
use solana_address::Address;

use super::{MARKET, SOL_RESERVE, folder, json_of, keeper, obligations, text};

/// The folder after a change to its accounts.
fn changed(change: impl FnOnce(&mut World)) -> (tempfile::TempDir, String) {
    let mut world = World::from_folder(folder()).unwrap();
    change(&mut world);
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("fork");
    world.snapshot().write(&path).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (parent, path)
}

fn shown(args: &[&str]) -> String {
    let output = keeper(args);
    assert_eq!(output.status.code(), Some(0), "{args:?}: {}", text(&output));
    text(&output)
}

/// That `text` has one line with `label` and all of `parts`.
fn has_row(text: &str, label: &str, parts: &[&str]) {
    let rows: Vec<_> = text.lines().filter(|line| line.trim_start().starts_with(label)).collect();
    let [row] = rows.as_slice() else { panic!("{} rows `{label}`:\n{text}", rows.len()) };
    for part in parts {
        assert!(row.contains(part), "`{part}` is not in `{row}`");
    }
}

#[test]
fn orders_are_shown_as_what_they_are_to_this_klend() {
    let (_, healthy) = obligations();
    let key: Address = healthy.parse().unwrap();
    let (_parent, fork) = changed(|world| {
        world
            .edit_obligation(&key, |account| {
                let orders = &mut account.obligation_orders;
                // Above 62.5 % LTV: all debt before 1.26, two tokens more since.
                orders[0].condition_type = 1;
                orders[0].condition_threshold_sf = Fraction::from_bps(6_250).to_bits().into();
                orders[0].opportunity_type = 1;
                let two_tokens = Fraction::from_int(2_000_000).to_bits();
                orders[0].opportunity_parameter_sf = two_tokens.into();
                orders[0].min_execution_bonus_bps = 25;
                orders[0].max_execution_bonus_bps = 150;
                // At any time, a kind that only 1.26 has: until the LTV is 40 %.
                orders[1].condition_type = 5;
                orders[1].opportunity_type = 2;
                let forty = Fraction::from_bps(4_000).to_bits();
                orders[1].opportunity_parameter_sf = forty.into();
            })
            .unwrap();
    });
    let of = |version: &str| {
        let args = ["--fork", &fork, "--klend", version, "obligation", &healthy];
        (shown(&args), json_of(&args))
    };

    let (text, json) = of("1.25");
    has_row(
        &text,
        "order 1",
        &[
            "when the LTV is above 62.5",
            "repay all debt",
            "bonus 0.25 % to 1.5",
            "a reason to liquidate",
        ],
    );
    has_row(&text, "order 2", &["order kind 2"]);
    assert_eq!(json["ordersLiquidate"], true);
    let first = &json["orders"][0];
    assert_eq!(
        (&first["condition"], &first["kind"], &first["parameter"]),
        (&json!("LtvAbove"), &json!("repayAll"), &Value::Null)
    );
    assert_eq!(
        (&first["threshold"], &first["minBonusBps"], &first["maxBonusBps"]),
        (&json!(0.625), &json!(25), &json!(150))
    );
    assert!(json["orders"][1]["unknown"].as_str().unwrap().contains("kind 2"), "{json:#}");

    let (text, json) = of("1.26");
    let no_reason = "no reason to liquidate";
    has_row(&text, "order 1", &["borrow up to 2 USDC more", no_reason]);
    has_row(&text, "order 2", &["at any time", "repay until the LTV is 40", no_reason]);
    assert_eq!(json["ordersLiquidate"], false);
    let kinds = [0, 1].map(|index| json["orders"][index]["kind"].clone());
    assert_eq!(kinds, [json!("leverUpAmount"), json!("repayToLtv")]);
    assert_eq!(json["orders"][1]["parameter"].as_f64().map(|ltv| (ltv * 1e6).round()), Some(4e5));
}

#[test]
fn a_permissioner_is_shown_where_the_market_has_one() {
    let authority = Address::new_from_array([7; 32]);
    let ops = permissioned_ops::LIQUIDATE;
    let (market, sol): (Address, Address) = (MARKET.parse().unwrap(), SOL_RESERVE.parse().unwrap());
    let (_parent, fork) = changed(|world| {
        world
            .edit_lending_market(&market, |market| {
                market.permissioning_authority = to_v2(&authority);
            })
            .unwrap();
        world
            .edit_reserve(&sol, |reserve| reserve.config.permissioned_ops = ops | 1 << 40)
            .unwrap();
    });
    let must_sign = format!("{authority} must sign liquidations");
    let reserve = ["--fork", &fork, "reserve", SOL_RESERVE];
    has_row(&shown(&reserve), "permissioner", &[&must_sign, "unknown bits 0b1000000"]);
    let json = json_of(&reserve);
    assert_eq!(json["permissioner"], json!(authority.to_string()));
    assert_eq!(json["permissionedOps"], json!(ops | 1 << 40));
    // The market itself asks for nothing: only this reserve does.
    let json = json_of(&["--fork", &fork, "market"]);
    assert_eq!(
        (&json["permissioner"], &json["permissionedOps"]),
        (&json!(authority.to_string()), &json!(0))
    );
    assert!(!shown(&["--fork", &fork, "market"]).contains("must sign"));

    let (_parent, fork) = changed(|world| {
        world
            .edit_lending_market(&market, |market| {
                market.permissioning_authority = to_v2(&authority);
                market.permissioned_ops = ops;
            })
            .unwrap();
    });
    has_row(&shown(&["--fork", &fork, "market"]), "permissioner", &[&must_sign]);

    // Without an authority nobody has to sign, whatever the bits say.
    let (_parent, fork) = changed(|world| {
        world.edit_reserve(&sol, |reserve| reserve.config.permissioned_ops = ops).unwrap();
    });
    has_row(&shown(&["--fork", &fork, "reserve", SOL_RESERVE]), "permissioner", &["-"]);
}

#[test]
fn emergencies_are_shown_where_this_klend_knows_them() {
    let (market, sol): (Address, Address) = (MARKET.parse().unwrap(), SOL_RESERVE.parse().unwrap());
    let (_parent, fork) = changed(|world| {
        world.edit_reserve(&sol, |reserve| reserve.config.emergency_mode = 1).unwrap();
    });
    let reserve = ["--fork", &fork, "reserve", SOL_RESERVE];
    has_row(&shown(&reserve), "emergency mode", &["no loans, redemptions nor liquidations"]);
    assert_eq!(json_of(&reserve)["emergencyMode"], true);
    let listed = shown(&["--fork", &fork, "market"]);
    let row = listed.lines().find(|line| line.contains(SOL_RESERVE)).unwrap();
    assert!(row.contains("emergency"), "{row}");
    // What touches it cannot be liquidated, and the reason is named.
    let (at_risk, _) = obligations();
    let refused = super::refused(&["--fork", &fork, "quote", &at_risk], 1);
    assert!(refused.contains("emergency"), "{refused}");
    // klend 1.16 has no such switch.
    let old = ["--fork", &fork, "--klend", "1.16", "reserve", SOL_RESERVE];
    assert!(!shown(&old).contains("emergency"));

    let (_parent, fork) = changed(|world| {
        world.edit_lending_market(&market, |market| market.emergency_mode = 1).unwrap();
    });
    has_row(&shown(&["--fork", &fork, "market"]), "emergency mode", &["on"]);
    assert_eq!(json_of(&["--fork", &fork, "market"])["emergencyMode"], true);
}

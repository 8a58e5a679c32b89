//! Histories of a pair that nobody would think of.

use std::time::Duration;

use tenfour_checker::Dice;
use tenfour_proto::RefusalCode;
use tenfour_proto::native::Resumption;

use super::{MAX_MESSAGE, Pair, Script};

fn script(dice: &mut Dice) -> Script {
    let mut script = Script::new();
    for number in 0..1 + dice.below(12) {
        let mailbox = ["a", "b", "a/c"][dice.below(3) as usize];
        script = match dice.below(12) {
            0 => script.refused("denied", "no", RefusalCode::NotAllowed),
            1 => script.refused(mailbox, &"x".repeat(MAX_MESSAGE + 1), RefusalCode::TooLarge),
            2 => script.stored(mailbox, ""),
            3 => script.stored(mailbox, &"x".repeat(1 + dice.below(MAX_MESSAGE as u64) as usize)),
            _ => script.stored(mailbox, &format!("message {number}")),
        };
    }
    script
}

const YEAR: u64 = 365 * 24 * 60 * 60;

/// What has happened in all of them.
#[derive(Debug, Default)]
pub struct Tally {
    pub cuts: u64,
    pub one_way: u64,
    pub sleeps: u64,
    pub crashes: u64,
    pub kills: u64,
    pub pauses: u64,
    pub stops: u64,
}

/// One history, drawn from the dice.
pub fn play(dice: &mut Dice, tally: &mut Tally) {
    let resumption = if dice.one_in(3) {
        Resumption::Repeat
    } else {
        Resumption::Continue
    };
    let mut pair = Pair::new(script(dice), resumption);
    for _ in 0..dice.below(9) {
        pair.commit_eagerly = dice.one_in(2);
        pair.chunks = (0..dice.below(4)).map(|_| 1 + dice.below(40) as usize).collect();
        match dice.below(4) {
            0 => pair.cut_up = Some(dice.below(600) as usize),
            1 => pair.cut_down = Some(dice.below(400) as usize),
            2 => {
                (pair.cut_up, pair.cut_down) =
                    (Some(dice.below(600) as usize), Some(dice.below(400) as usize))
            }
            _ => {}
        }
        let is_cut = pair.cut_up.is_some() || pair.cut_down.is_some();
        tally.cuts += u64::from(is_cut);
        pair.one_way = dice.one_in(3);
        tally.one_way += u64::from(is_cut && pair.one_way);
        // The server's clock is ahead of ours by up to a century, another one after each restart.
        pair.skew = Duration::from_secs(dice.below(100) * dice.below(YEAR));
        if dice.one_in(4) {
            pair.full_at_commit = Some(pair.commits + dice.below(6) as usize);
            tally.pauses += 1;
        }
        if dice.one_in(5) {
            pair.go_away_after = Some(dice.below(400) as usize);
            tally.stops += 1;
        }
        pair.run_until_cut();
        // A lid is closed for years: whatever waited has waited too long, and nothing else happens.
        if dice.one_in(6) {
            pair.sleep(1 + dice.below(20) * dice.below(YEAR));
            tally.sleeps += 1;
        }
        if dice.one_in(3) {
            pair.crash_server();
            tally.crashes += 1;
        }
        // Only an outbox goes on with a producer of its own, in another process.
        if resumption == Resumption::Continue && dice.one_in(4) {
            let settled = pair.client.settled();
            let noted = if dice.one_in(2) {
                settled
            } else {
                dice.below(settled + 1)
            };
            pair.kill_sender(noted);
            tally.kills += 1;
        }
    }
    pair.full_at_commit = None;
    pair.go_away_after = None;
    pair.run_to_the_end();
    pair.check();
}

#![allow(clippy::unwrap_used)]
use super::*;

fn range(inside: u32, outside: u32, count: u32) -> Range {
    Range { inside, outside, count }
}

#[test]
fn ranges_are_found_by_name_and_by_number_in_their_order() {
    let text = "other:1:2\nme:100000:65536\n1000:300000:10\n\nme:400000:1\n # me:5:5\nme:broken:1\nme:7\n";
    let expected = [range(0, 1000, 1), range(1, 100_000, 65536), range(65537, 300_000, 10), range(65547, 400_000, 1)];
    assert_eq!(ranges(text, 1000, 1000, &["me".into()]), expected);
    assert_eq!(ranges(text, 1, 50, &[]), [range(0, 50, 1)]);
}

#[test]
fn ranges_that_the_kernel_would_refuse_are_left_out() {
    let own = range(0, 1000, 1);
    let table: [(&str, &[Range]); 7] = [
        ("me:999:5", &[]),
        ("me:1000:1", &[]),
        ("me:1001:5", &[range(1, 1001, 5)]),
        ("me:990:10", &[range(1, 990, 10)]),
        ("me:100000:0", &[]),
        ("me:4294967295:1", &[]),
        ("me:100000:10\nme:100005:10\nme:100010:3", &[range(1, 100_000, 10), range(11, 100_010, 3)]),
    ];
    for (text, expected) in table {
        let found = ranges(text, 1000, 1000, &["me".into()]);
        assert_eq!((found[0], &found[1..]), (own, expected), "{text}");
    }
}

#[test]
fn no_more_ranges_are_taken_than_a_map_has_lines() {
    let text: String = (0..1000).map(|number| format!("me:{}:1\n", 100_000 + number * 2)).collect();
    assert_eq!(ranges(&text, 1000, 1000, &["me".into()]).len(), MOST_RANGES);
}

#[test]
fn a_map_prints_both_kinds_on_a_line() {
    let map = Map { uids: vec![range(0, 1000, 1), range(1, 100_000, 65536)], gids: vec![range(0, 100, 1)] };
    assert_eq!(map.to_string(), "0:1000:1,1:100000:65536 0:100:1");
}

#[test]
fn an_id_belongs_to_the_range_that_holds_it() {
    let map = [range(0, 1000, 1), range(1, 100_000, 65536)];
    for (id, is_there) in [(0, true), (1, true), (65536, true), (65537, false), (100_000, false), (u32::MAX, false)] {
        assert_eq!(holds(&map, id), is_there, "{id}");
    }
}

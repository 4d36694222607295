//! The words of random container names.

/// How a container is.
pub(super) const ADJECTIVES: &[&str] = &[
    "able", "agile", "airy", "amber", "ample", "apt", "azure", "balmy", "bold", "brave", "breezy", "bright", "brisk",
    "calm", "candid", "chill", "civil", "clear", "clever", "copper", "coral", "cosy", "crisp", "dapper", "daring",
    "deft", "eager", "early", "earnest", "easy", "elated", "exact", "fair", "fancy", "fine", "fluent", "fond", "frank",
    "fresh", "gentle", "glad", "golden", "grand", "happy", "hardy", "honest", "ideal", "jolly", "keen", "kind",
    "lively", "lucid", "lucky", "mellow", "merry", "mild", "modest", "neat", "nimble", "noble", "olive", "patient",
    "placid", "plucky", "polite", "prime", "proud", "quick", "quiet", "ready", "rosy", "rustic", "silver", "smart",
    "snug", "sober", "solid", "spry", "steady", "sunny", "swift", "tidy", "tranquil", "trusty", "upbeat", "vivid",
    "warm", "wise", "witty", "zesty",
];

/// What it is: woods, tools of a joiner, and animals of the forest.
pub(super) const NOUNS: &[&str] = &[
    "adze", "alder", "anvil", "ash", "aspen", "auger", "badger", "balsa", "bamboo", "beam", "bear", "beaver", "beech",
    "bevel", "birch", "bison", "bobcat", "cedar", "cherry", "chestnut", "chisel", "clamp", "cork", "crane", "cypress",
    "deer", "dowel", "ebony", "elk", "elm", "ermine", "falcon", "fern", "finch", "fir", "fox", "gauge", "hare",
    "hazel", "heron", "hickory", "holly", "jay", "joist", "juniper", "kestrel", "larch", "lark", "lathe", "level",
    "linden", "lynx", "mallet", "maple", "marten", "mitre", "moose", "oak", "otter", "owl", "panel", "pear", "pine",
    "plane", "plank", "poplar", "rabbet", "rafter", "raven", "robin", "rowan", "saw", "spruce", "squirrel", "stoat",
    "swift", "tenon", "thrush", "trestle", "veneer", "vole", "walnut", "willow", "wren", "yew",
];

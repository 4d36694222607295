//! Thirty tests of a database, each with one of its own: what `#[plywood::template]` prepares, every test forks.
//!
//! `cargo test -p plywood-examples --test database_tests`, or the same with `cargo nextest run`; as root or as an ordinary
//! user. `--features cold` starts and fills a server for each test instead, to compare. It takes Debian's package
//! `postgresql`.

use plywood::testing::{Postgres, Service};
use postgres::{Client, Error, NoTls};

/// A shop with customers and orders.
#[cfg(not(feature = "cold"))]
#[plywood::template]
fn shop(db: &Service<Postgres>) -> Result<(), Error> {
    fill(db)
}

#[cfg(feature = "cold")]
use cold::Shop;

#[cfg(feature = "cold")]
mod cold {
    use plywood::testing::{FromTest, Postgres, Service, Test};

    /// The same, without a template.
    #[derive(Debug)]
    pub struct Shop(Service<Postgres>);

    impl FromTest for Shop {
        fn from_test(test: &Test) -> plywood::Result<Self> {
            let db = Service::<Postgres>::from_test(test)?;
            super::fill(&db).unwrap_or_else(|error| panic!("{error}"));
            Ok(Self(db))
        }
    }

    impl std::ops::Deref for Shop {
        type Target = Service<Postgres>;

        fn deref(&self) -> &Self::Target {
            &self.0
        }
    }
}

fn fill(db: &Service<Postgres>) -> Result<(), Error> {
    Client::connect(&db.url(), NoTls)?.batch_execute(
        "CREATE TABLE customers (id int PRIMARY KEY, name text UNIQUE, city text);
         CREATE TABLE orders (id int PRIMARY KEY, customer int REFERENCES customers, cents int CHECK (cents > 0));
         INSERT INTO customers SELECT n, 'customer ' || n, (ARRAY['Oslo', 'Lima', 'Kyiv'])[n % 3 + 1]
             FROM generate_series(1, 3000) n;
         INSERT INTO orders SELECT n, n % 3000 + 1, n FROM generate_series(1, 60000) n;
         CREATE INDEX ON orders (customer);",
    )
}

/// Changes the data, and compares what a query finds then.
fn check(db: &Service<Postgres>, change: &str, query: &str, expected: i64) -> Result<(), Error> {
    let mut client = Client::connect(&db.url(), NoTls)?;
    client.batch_execute(change)?;
    let found: i64 = client.query_one(query, &[])?.get(0);
    assert_eq!(found, expected);
    Ok(())
}

macro_rules! tests {
    ($($name:ident: $change:literal, $query:literal => $expected:literal;)*) => {
        $(
            #[plywood::test]
            fn $name(db: Shop) -> Result<(), Error> {
                check(&db, $change, $query, $expected)
            }
        )*
    };
}

tests! {
    customers_are_there: "", "SELECT count(*) FROM customers" => 3000;
    orders_are_there: "", "SELECT count(*) FROM orders" => 60000;
    nothing_is_free: "", "SELECT min(cents)::bigint FROM orders" => 1;
    everybody_has_ordered: "", "SELECT count(DISTINCT customer) FROM orders" => 3000;
    three_cities: "", "SELECT count(DISTINCT city) FROM customers" => 3;
    a_third_lives_in_oslo: "", "SELECT count(*) FROM customers WHERE city = 'Oslo'" => 1000;
    the_dearest: "", "SELECT max(cents)::bigint FROM orders" => 60000;
    names_are_found: "", "SELECT id::bigint FROM customers WHERE name = 'customer 17'" => 17;
    one_customer: "", "SELECT count(*) FROM orders WHERE customer = 5" => 20;
    no_customer: "", "SELECT count(*) FROM orders WHERE customer = 0" => 0;
    all_orders_go: "TRUNCATE orders", "SELECT count(*) FROM orders" => 0;
    all_customers_go: "TRUNCATE customers CASCADE", "SELECT count(*) FROM customers" => 0;
    orders_go_with_customers: "TRUNCATE customers CASCADE", "SELECT count(*) FROM orders" => 0;
    half_goes: "DELETE FROM orders WHERE id % 2 = 0", "SELECT count(*) FROM orders" => 30000;
    one_more: "INSERT INTO customers VALUES (0, 'new', 'Lima')", "SELECT count(*) FROM customers" => 3001;
    one_moves: "UPDATE customers SET city = 'Rome' WHERE id = 1", "SELECT count(*) FROM customers WHERE city = 'Rome'" => 1;
    all_move: "UPDATE customers SET city = 'Rome'", "SELECT count(*) FROM customers WHERE city = 'Rome'" => 3000;
    prices_rise: "UPDATE orders SET cents = cents + 1", "SELECT min(cents)::bigint FROM orders" => 2;
    prices_double: "UPDATE orders SET cents = 2 * cents", "SELECT max(cents)::bigint FROM orders" => 120000;
    a_column_is_added: "ALTER TABLE orders ADD paid bool DEFAULT false", "SELECT count(*) FROM orders WHERE NOT paid" => 60000;
    a_column_is_dropped: "ALTER TABLE customers DROP city",
        "SELECT count(*) FROM information_schema.columns WHERE table_name = 'customers'" => 2;
    a_table_is_dropped: "DROP TABLE orders", "SELECT count(*) FROM information_schema.tables WHERE table_name = 'orders'" => 0;
    a_table_is_added: "CREATE TABLE notes (text text)", "SELECT count(*) FROM notes" => 0;
    a_view_is_added: "CREATE VIEW lima AS SELECT * FROM customers WHERE city = 'Lima'", "SELECT count(*) FROM lima" => 1000;
    an_index_goes: "DROP INDEX orders_customer_idx", "SELECT count(*) FROM orders WHERE customer = 5" => 20;
    what_is_rolled_back_stays: "BEGIN; TRUNCATE orders; ROLLBACK", "SELECT count(*) FROM orders" => 60000;
    what_is_committed_goes: "BEGIN; TRUNCATE orders; COMMIT", "SELECT count(*) FROM orders" => 0;
    a_sequence_counts: "CREATE SEQUENCE numbers START 41; SELECT nextval('numbers')", "SELECT nextval('numbers')" => 42;
    names_can_be_given_again: "UPDATE orders SET customer = 2 WHERE customer = 1; DELETE FROM customers WHERE id = 1;
        INSERT INTO customers VALUES (1, 'customer 1', 'Kyiv')", "SELECT count(*) FROM customers" => 3000;
    a_clean_up: "VACUUM FULL", "SELECT count(*) FROM orders" => 60000;
}

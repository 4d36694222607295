//! Each rule on a small definition. The user interface of the macro tests the same rules with their places.

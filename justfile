# The workspace's commands; each is a cargo alias too, so that `just` itself is not needed.

_list:
    @just --list

# Relay, bank and phone at once; prints what to type
demo *ARGS:
    cargo demo {{ARGS}}

# Every test
test *ARGS:
    cargo xtask test {{ARGS}}

# Formatting and clippy
lint:
    cargo xtask lint

# Who may know whom
deps:
    cargo xtask deps

# The documentation of every crate
docs:
    cargo xtask docs

# What the approval costs: instructions, load, release, waiting
bench *ARGS:
    cargo run --profile bench --package bloonio-bench -- {{ARGS}}

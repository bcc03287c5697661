"""What `./dev demo` and `./dev serve` do; a reader of the product can pass it over."""

//! Policy files: the built-in policy, and the watcher that swaps changed ones in.

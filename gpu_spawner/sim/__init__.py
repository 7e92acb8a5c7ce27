"""A GPU cluster on one machine, for the demo and the tests; product code never imports it."""

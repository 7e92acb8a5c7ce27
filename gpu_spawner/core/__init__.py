"""What is decided: pure, synchronous functions of plain data."""

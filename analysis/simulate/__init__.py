"""Made-up records of any size, marked `simulated`, to try tables and time them."""

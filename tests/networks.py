"""Networks for tests of everything but networks."""

# Both kinds of MBConv, the last one skipped at times; to trace a block takes seconds.
TINY = "r1_k3_s11_e1_i8_o8_se0.25,r2_k3_s22_e4_i8_o16_se0.25"

"""How media comes in and goes out. Every protocol has the same file names; read `rtmp` first."""

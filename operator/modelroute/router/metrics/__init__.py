"""What is counted. Labels hold nothing that a client wrote."""

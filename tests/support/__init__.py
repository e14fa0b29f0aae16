"""What tests share: servers, stacks, ports and waiting."""

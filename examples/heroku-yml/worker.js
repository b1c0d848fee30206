setInterval(() => console.log('Working'), 60_000);
console.log('Worker is up');
process.on('SIGTERM', () => process.exit(0));

console.log(`Migrating as user ${process.getuid()}`);
